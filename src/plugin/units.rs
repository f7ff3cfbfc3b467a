//! Durations and sizes as Kubernetes writes them.
//!
//! Durations follow Go (`100ms`, `1h30m`), sizes the Kubernetes quantity (`128Mi`, `64M`, `1.5Gi`,
//! `1e6`). All arithmetic is checked: a number too large is an error, never a wrapped one.

use std::fmt;
use std::time::Duration;

/// What a duration looks like, for messages.
const DURATION: &str = "not a duration: write numbers with units ns, us, ms, s, m or h, \
                        such as 100ms, 1.5s or 1h30m";

/// What a size looks like, for messages.
const SIZE: &str = "not a size: write bytes or a number with a unit k, M, G, T, P, E \
                    (powers of 1000) or Ki, Mi, Gi, Ti, Pi, Ei (powers of 1024), \
                    such as 128Mi, 64M or 134217728";

/// The longest text worth reading as a number with a unit.
const MAX_TEXT: usize = 64;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Reads a duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(DURATION.to_owned());
    }
    let mut nanos = 0_u128;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or(DURATION)?;
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or(DURATION)?;
        let scale = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS_PER_SECOND,
            "m" => 60 * NANOS_PER_SECOND,
            "h" => 3600 * NANOS_PER_SECOND,
            "" => return Err(format!("{DURATION}; the unit is missing")),
            _ => return Err(DURATION.to_owned()),
        };
        let part = number.times(scale).ok_or(DURATION)?.0;
        nanos = nanos.checked_add(part).ok_or(DURATION)?;
        rest = after;
    }
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND)
        .map_err(|_| "longer than any duration that can be counted".to_owned())?;
    let below = u32::try_from(nanos % NANOS_PER_SECOND).unwrap_or_default();
    Ok(Duration::new(seconds, below))
}

/// Reads a size in bytes; fractions of a byte round up, as in Kubernetes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    if text.len() > MAX_TEXT {
        return Err(SIZE.to_owned());
    }
    let (number, unit) = split_number(text).ok_or(SIZE)?;
    let scale = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u128.pow(2),
        "G" => 1000_u128.pow(3),
        "T" => 1000_u128.pow(4),
        "P" => 1000_u128.pow(5),
        "E" => 1000_u128.pow(6),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "Ei" => 1 << 60,
        _ => match exponent(unit) {
            Some(scale) => scale,
            None => return Err(SIZE.to_owned()),
        },
    };
    let (whole, exact) = number.times(scale).ok_or(SIZE)?;
    let bytes = whole.checked_add(u128::from(!exact)).ok_or(SIZE)?;
    u64::try_from(bytes).map_err(|_| "larger than 64 bits can count".to_owned())
}

/// A duration as short as it can be written exactly.
#[derive(Clone, Copy)]
pub(super) struct Written(pub(super) Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_nanos()) {
            (seconds, 0) if seconds != 0 && seconds.is_multiple_of(3600) => {
                write!(f, "{}h", seconds / 3600)
            }
            (seconds, 0) if seconds != 0 && seconds.is_multiple_of(60) => {
                write!(f, "{}m", seconds / 60)
            }
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// Writes a size as short as it can be written exactly.
pub(super) fn write_size(size: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let units = [
        (60, "Ei"),
        (50, "Pi"),
        (40, "Ti"),
        (30, "Gi"),
        (20, "Mi"),
        (10, "Ki"),
    ];
    let fits = |(bits, _): &(u32, _)| size != 0 && size.trailing_zeros() >= *bits;
    match units.into_iter().find(fits) {
        Some((bits, unit)) => write!(f, "{}{unit}", size >> bits),
        None => write!(f, "{size}"),
    }
}

/// The power of ten behind `e6` or `E+6`.
fn exponent(unit: &str) -> Option<u128> {
    let digits = unit.strip_prefix(['e', 'E'])?;
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    10_u128.checked_pow(digits.parse().ok()?)
}

/// A decimal number: its digits, and how many of them stand behind the point.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    behind: u32,
}

impl Decimal {
    /// The whole part of this times `scale`, and whether nothing was cut off.
    fn times(self, scale: u128) -> Option<(u128, bool)> {
        let product = self.digits.checked_mul(scale)?;
        let divisor = 10_u128.checked_pow(self.behind)?;
        let whole = product.checked_div(divisor)?;
        Some((whole, product.checked_rem(divisor)? == 0))
    }
}

/// The decimal number at the start of `text`, and what follows it.
fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let (whole, after) = split_digits(text)?;
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => split_digits(after)?,
        None => ("", after),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = format!("0{whole}{fraction}").parse().ok()?;
    let behind = u32::try_from(fraction.len()).ok()?;
    Some((Decimal { digits, behind }, after))
}

fn split_digits(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("100ms", 100_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1m0.5s", 60_500_000_000),
            (".5s", 500_000_000),
            ("2us", 2_000),
            ("2µs", 2_000),
            ("7ns", 7),
            ("0.1ns", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn not_durations() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "5 s",
            "5S",
            "1.s.",
            "5sec",
            "1..5s",
            "five",
            "5s ",
            "99999999999999999999999999999999999999999h",
            "340282366920938463463374607431768211455ns1ns",
            "99999999999999999999999h",
            "1000000000000000000000000000000000000000000000000000000000000000000s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("5").unwrap_err().ends_with("the unit is missing"));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("134217728", 134_217_728),
            ("128Mi", 128 << 20),
            ("64M", 64_000_000),
            ("1.5Gi", 3 << 29),
            ("1k", 1000),
            ("1Ki", 1024),
            ("1e6", 1_000_000),
            ("0.5", 1),
            ("15.9Ei", 18_331_451_923_248_866_919),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn not_sizes() {
        for text in [
            "",
            "Mi",
            "-1",
            "+1",
            "12XB",
            "128MB",
            "128mi",
            "1K",
            "1 Mi",
            "100m",
            "1e",
            "1e-3",
            "16Ei",
            "18446744073709551616",
            "1e99",
            "1.5.5M",
            "0x10",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
