//! Sizes, processors, limits and times as people type them.

use jiff::{SignedDuration, Timestamp};

/// `512m`, `1g`, `1048576`, `-1`: bytes, with binary suffixes.
pub(crate) fn bytes(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a size: expected a number with b, k, m, g or t");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'i', 'k', 'm', 'g', 't']);
    let shift = match lower[digits.len()..].chars().next() {
        None | Some('b') => 0,
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        Some('t') => 40,
        Some(_) => return Err(wrong()),
    };
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// `size=64m`
pub(crate) fn storage_size(text: &str) -> Result<u64, String> {
    match text.split_once('=') {
        Some(("size", value)) => {
            let size = u64::try_from(bytes(value)?).ok().filter(|size| *size > 0);
            size.ok_or_else(|| format!("`{value}` is not a size"))
        }
        _ => Err(format!("unknown storage option `{text}`: expected size=BYTES")),
    }
}

/// `1.5` processors, in billionths.
pub(crate) fn cpus(text: &str) -> Result<i64, String> {
    match text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
        Ok(number) if (0.01..100_000.0).contains(&number) => Ok((number * 1e9) as i64),
        _ => Err(format!("`{text}` is not a number of processors such as 1.5")),
    }
}

const LIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `nofile=1024:4096`; -1 is no limit.
pub(crate) fn ulimit(text: &str) -> Result<(String, u64, u64), String> {
    let wrong = || format!("`{text}` is not a limit: expected NAME=SOFT[:HARD]");
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    if !LIMITS.contains(&name) {
        return Err(format!("`{name}` is not a resource limit: expected one of {}", LIMITS.join(", ")));
    }
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number =
        |text: &str| if text == "-1" { Ok(u64::MAX) } else { text.parse::<u64>().map_err(|_| wrong()) };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        Err(format!("`{text}`: the soft limit is above the hard one"))
    } else {
        Ok((name.into(), soft, hard))
    }
}

/// RFC 3339, seconds since 1970, or a duration before now such as `10m` or `1h30m`.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!("`{text}` is not a time: expected RFC 3339, seconds since 1970, or a duration such as 10m")
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).map_err(|_| wrong());
    }
    let ago: SignedDuration = text.parse().map_err(|_| wrong())?;
    Timestamp::now().checked_sub(ago).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        for (text, value) in
            [("512", 512), ("1k", 1024), ("2m", 2 << 20), ("1g", 1 << 30), ("1GiB", 1 << 30), ("-1", -1)]
        {
            assert_eq!(bytes(text), Ok(value), "for {text}");
        }
        for text in ["", "m", "1x", "1.5g", "9999999999t"] {
            assert!(bytes(text).is_err(), "for {text:?}");
        }
    }

    #[test]
    fn a_storage_option_is_a_size() {
        assert_eq!(storage_size("size=64m"), Ok(64 << 20));
        for text in ["size", "size=", "size=0", "size=-1", "quota=1"] {
            assert!(storage_size(text).is_err(), "for {text}");
        }
    }

    #[test]
    fn limits_and_processors() {
        assert_eq!(ulimit("nofile=1:2"), Ok(("nofile".into(), 1, 2)));
        assert!(ulimit("nofile").is_err() && ulimit("nofile=2:1").is_err());
        assert!(ulimit("foo=1").unwrap_err().contains("nofile"));
        assert_eq!(cpus("1.5"), Ok(1_500_000_000));
        assert!(cpus("0").is_err() && cpus("x").is_err());
    }

    #[test]
    fn times_are_points_or_durations() {
        assert_eq!(time("60").unwrap().as_second(), 60);
        assert_eq!(time("1970-01-01T00:01:00Z").unwrap().as_second(), 60);
        assert!(time("10m").unwrap() < Timestamp::now());
        assert!(time("yesterday").is_err());
    }
}
