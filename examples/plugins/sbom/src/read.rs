//! What package managers write down, as packages with their package URLs.

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `pkg:deb/debian/bash@5.2?arch=amd64`
    pub(crate) purl: String,
}

/// `ID` of `os-release`, from the first of the texts that has one.
pub(crate) fn distribution(usr: &str, etc: &str) -> String {
    let id = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("ID="))?;
        Some(line.trim_matches(['"', '\'']).to_owned())
    };
    id(usr).or_else(|| id(etc)).unwrap_or_default()
}

/// Paragraphs of `Field: value` lines. What was removed and left its configuration is not there.
pub(crate) fn debian(status: &str, distribution: &str) -> Vec<Package> {
    let package = |paragraph: &str| {
        let installed = field(paragraph, "Status").is_none_or(|status| status.ends_with(" installed"));
        let (name, version) = (field(paragraph, "Package")?, field(paragraph, "Version")?);
        let arch = field(paragraph, "Architecture");
        let distribution = if distribution.is_empty() { "debian" } else { distribution };
        installed.then(|| named(&format!("deb/{distribution}"), name, version, arch))
    };
    status.split("\n\n").filter_map(package).collect()
}

/// Paragraphs of `P:name`, `V:version` and `A:architecture`.
pub(crate) fn alpine(installed: &str, distribution: &str) -> Vec<Package> {
    let package = |paragraph: &str| {
        let field = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key));
        let distribution = if distribution.is_empty() { "alpine" } else { distribution };
        Some(named(&format!("apk/{distribution}"), field("P:")?, field("V:")?, field("A:")))
    };
    installed.split("\n\n").filter_map(package).collect()
}

/// The head of a `METADATA` file. Names of Python packages are compared in lower case, with dashes.
pub(crate) fn python(metadata: &str) -> Option<Package> {
    let head = metadata.split("\n\n").next()?;
    let (name, version) = (field(head, "Name")?, field(head, "Version")?);
    let plain = name.to_lowercase().replace(['_', '.'], "-");
    Some(Package { name: name.to_owned(), ..named("pypi", &plain, version, None) })
}

fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
}

fn named(kind: &str, name: &str, version: &str, arch: Option<&str>) -> Package {
    let arch = arch.map(|arch| format!("?arch={}", quoted(arch))).unwrap_or_default();
    let purl = format!("pkg:{kind}/{}@{}{arch}", quoted(name), quoted(version));
    Package { name: name.to_owned(), version: version.to_owned(), purl }
}

/// As package URLs are written: letters, digits and `.-_~:` as they are.
fn quoted(text: &str) -> String {
    let quote = |byte: u8| match byte {
        b'.' | b'-' | b'_' | b'~' | b':' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(quote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purls(packages: impl IntoIterator<Item = Package>) -> Vec<String> {
        packages.into_iter().map(|package| package.purl).collect()
    }

    #[test]
    fn debian_tells_what_is_installed() {
        let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1+b1\n\
                      Description: x\n Version: 9\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                      Package: tz\nStatus: install ok installed\nVersion: 1:2\n";
        assert_eq!(
            purls(debian(status, "debian")),
            ["pkg:deb/debian/bash@5.2-1%2Bb1?arch=amd64", "pkg:deb/debian/tz@1:2"]
        );
        assert!(debian("", "").is_empty());
    }

    #[test]
    fn alpine_and_python_tell_theirs() {
        let installed = "C:Q1x\nP:musl\nV:1.2.3-r4\nA:x86_64\n\nP:zlib\nV:1\n";
        assert_eq!(
            purls(alpine(installed, "")),
            ["pkg:apk/alpine/musl@1.2.3-r4?arch=x86_64", "pkg:apk/alpine/zlib@1"]
        );
        let metadata = "Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 1.0\n\nName: not this\n";
        assert_eq!(purls(python(metadata)), ["pkg:pypi/foo-bar@1.0"]);
        assert!(python("nothing").is_none());
    }

    #[test]
    fn the_distribution_has_an_id() {
        assert_eq!(distribution("NAME=x\nID=\"ubuntu\"\n", "ID=debian\n"), "ubuntu");
        assert_eq!(distribution("", "ID=alpine\n"), "alpine");
        assert_eq!(distribution("", ""), "");
    }
}
