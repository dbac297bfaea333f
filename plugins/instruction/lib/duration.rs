//! Durations as Go writes them: `1m30s`, `1.5h`, `500ms`.

use wharf_sdk::{Failure, refuse};

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds.
///
/// # Errors
/// When the text is not a duration, is negative, or is longer than 292 years.
pub fn nanoseconds(text: &str) -> Result<u64, Failure> {
    if text == "0" {
        return Ok(0);
    }
    let wrong =
        || refuse(format!("invalid duration \"{text}\"")).help("write for example `30s`, `1m30s` or `500ms`");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (part, after) = part(rest).ok_or_else(wrong)?;
        total = total.checked_add(part).filter(|sum| i64::try_from(*sum).is_ok()).ok_or_else(wrong)?;
        rest = after;
    }
    if text.trim_start_matches('+').is_empty() { Err(wrong()) } else { Ok(total) }
}

/// One number with its unit, and what comes after it.
fn part(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, rest) = text.split_at(end);
    let unit_end = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some((whole.checked_mul(factor)?.checked_add(scaled(fraction, factor)?)?, after))
}

/// `.5` of a unit.
fn scaled(fraction: &str, factor: u64) -> Option<u64> {
    let digits = fraction.get(..fraction.len().min(15))?;
    if digits.is_empty() {
        return Some(0);
    }
    let number: u128 = digits.parse().ok()?;
    u64::try_from(number * u128::from(factor) / 10_u128.pow(u32::try_from(digits.len()).ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, expected) in [
            ("30s", Some(30_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("500us", Some(500_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30", None),
            ("", None),
            ("+", None),
            ("-1s", None),
            ("1d", None),
            (".s", None),
            ("1.2.3s", None),
            ("10000000h", None),
        ] {
            assert_eq!(nanoseconds(text).ok(), expected, "for {text:?}");
        }
    }
}
