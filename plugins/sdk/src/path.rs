//! Slash-separated paths, cleaned without looking at any file system.

/// The shortest path that names the same: no empty part, no `.`, no `..` that has a name before
/// it, no slash at the end. An empty path is `.`, and nothing is above `/`.
///
/// ```
/// assert_eq!(wharf_sdk::path::clean("/a/./b/../c/"), "/a/c");
/// assert_eq!(wharf_sdk::path::clean("../a/.."), "..");
/// ```
pub fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            name => parts.push(name),
        }
    }
    match (absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `path` below `directory`, or `path` itself when it is absolute; cleaned.
///
/// ```
/// assert_eq!(wharf_sdk::path::join("/srv", "../tmp"), "/tmp");
/// assert_eq!(wharf_sdk::path::join("/srv", "/tmp"), "/tmp");
/// ```
pub fn join(directory: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{directory}/{path}")) }
}

/// The last name of a path, if it has one.
///
/// ```
/// assert_eq!(wharf_sdk::path::file_name("/etc/motd"), Some("motd"));
/// assert_eq!(wharf_sdk::path::file_name("/etc/"), None);
/// ```
pub fn file_name(path: &str) -> Option<&str> {
    path.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".."))
}

/// Whether a destination can only be a directory, as it is written: `x/`, `.`, `..`, `x/.`.
pub fn names_directory(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("" | "." | ".."))
}

/// Whether `path` is `directory` or below it. Both are cleaned first.
pub fn is_within(path: &str, directory: &str) -> bool {
    let (path, directory) = (clean(path), clean(directory));
    if directory == "/" {
        return path.starts_with('/');
    }
    path.strip_prefix(&directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/../a", "/a"),
            ("a/..", "."),
            ("../../a", "../../a"),
            ("a/../../b", "../b"),
        ] {
            assert_eq!(clean(path), cleaned, "for {path:?}");
        }
    }

    #[test]
    fn only_whole_names_count_as_within() {
        for (path, directory, within) in [
            ("/var/lib/wharf", "/var/lib/wharf", true),
            ("/var/lib/wharf/../wharf/x", "/var/lib/wharf/", true),
            ("/var/lib/wharf2", "/var/lib/wharf", false),
            ("/var", "/var/lib", false),
            ("/x", "/", true),
        ] {
            assert_eq!(is_within(path, directory), within, "for {path} in {directory}");
        }
    }

    #[test]
    fn a_directory_shows_at_the_end() {
        for (path, directory) in
            [("a/", true), (".", true), ("..", true), ("a/.", true), ("/", true), ("a", false), ("a.", false)]
        {
            assert_eq!(names_directory(path), directory, "for {path}");
        }
    }
}
