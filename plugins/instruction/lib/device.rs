//! `RUN --device`: one device as comma-separated fields, `NAME[,required]`.

use wharf_sdk::devices::Device;
use wharf_sdk::{Failure, refuse};

use crate::{list, mount};

/// How it is written.
const HELP: &str = "write `--device=vendor.com/class=name`, perhaps with `,required`";

/// Reads the value of one `--device`. The first field that is no key is the name, which may hold a `=`.
///
/// # Errors
/// Names the field that is wrong.
pub fn parse(text: &str) -> Result<Device, Failure> {
    let mut device = Device { name: String::new(), required: false };
    for field in list::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", value) => device.required = mount::boolean("required", value)?,
            ("name", Some(_)) if !device.name.is_empty() => {
                return Err(refuse(format!("device name already set to {}", device.name)).help(HELP));
            }
            ("name", Some(value)) => value.clone_into(&mut device.name),
            _ if device.name.is_empty() => device.name = field,
            (_, None) => {
                return Err(refuse(format!("invalid field '{field}' must be a key=value pair")).help(HELP));
            }
            (key, Some(_)) => {
                return Err(
                    refuse(format!("unexpected key '{key}' in '{field}'")).help("known: name, required")
                );
            }
        }
    }
    if device.name.is_empty() {
        return Err(refuse("a device needs a name").help(HELP));
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_name_that_may_be_required() {
        for (text, name, required) in [
            ("vendor.com/class=a", "vendor.com/class=a", false),
            ("vendor.com/class=a,required", "vendor.com/class=a", true),
            ("required,vendor.com/class", "vendor.com/class", true),
            ("required=false,name=vendor.com/class=*", "vendor.com/class=*", false),
            ("class1,Required=true", "class1", true),
        ] {
            assert_eq!(parse(text).unwrap(), Device { name: name.into(), required }, "for {text}");
        }
    }

    #[test]
    fn what_is_no_device_says_why() {
        for (text, words) in [
            ("", "a device needs a name"),
            ("required", "a device needs a name"),
            ("a,b", "invalid field 'b' must be a key=value pair"),
            ("a,name=b", "device name already set to a"),
            ("a,required=yes", "invalid value for required: yes"),
            ("a,from=b", "unexpected key 'from' in 'from=b'"),
        ] {
            let refused = parse(text).unwrap_err();
            assert_eq!(refused.diagnostics[0].message, words, "for {text:?}");
        }
    }
}
