//! Names and values.

use std::time::Duration;

use serde::Deserialize;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The response header that holds the count. Plugins with equal names count together.
    pub header: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header: "x-request-count".to_owned(),
        }
    }
}

impl Config {
    /// Reads the plugin configuration; without one, everything has its default.
    pub fn parse(config: &[u8]) -> Result<Self, String> {
        if config.is_empty() {
            return Ok(Self::default());
        }
        let config: Self = serde_json::from_slice(config).map_err(|error| error.to_string())?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if config.header.is_empty() || !config.header.bytes().all(fits) {
            return Err(format!(
                "header {:?}: expected lower-case letters, digits and hyphens",
                config.header
            ));
        }
        Ok(config)
    }
}

/// The count after the one that is stored; 1 where that is none.
pub fn next(stored: Option<&[u8]>) -> u64 {
    let count = stored.and_then(|bytes| bytes.try_into().ok());
    count.map_or(0, u64::from_le_bytes).wrapping_add(1)
}

/// The unit of `server-timing`, with microseconds.
pub fn milliseconds(took: Duration) -> String {
    format!("{:.3}", took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_up_from_one() {
        assert_eq!(next(None), 1);
        assert_eq!(next(Some(&1_u64.to_le_bytes())), 2);
        assert_eq!(next(Some(&u64::MAX.to_le_bytes())), 0);
    }

    #[test]
    fn what_is_no_count_counts_as_none() {
        assert_eq!(next(Some(b"")), 1);
        assert_eq!(next(Some(b"123456789")), 1);
    }

    #[test]
    fn times_are_in_milliseconds() {
        assert_eq!(milliseconds(Duration::from_micros(1_500)), "1.500");
        assert_eq!(milliseconds(Duration::ZERO), "0.000");
    }

    #[test]
    fn the_header_can_be_configured() {
        let header = |config: &str| Config::parse(config.as_bytes()).map(|config| config.header);
        assert_eq!(header("").unwrap(), "x-request-count");
        assert_eq!(header("{}").unwrap(), "x-request-count");
        assert_eq!(header(r#"{"header": "x-n"}"#).unwrap(), "x-n");
        for name in ["", "X-N", "x n", "x:n"] {
            let problem = header(&format!(r#"{{"header": "{name}"}}"#)).unwrap_err();
            assert!(problem.contains("lower-case"), "{problem}");
        }
        assert!(header(r#"{"heeder": "x"}"#).unwrap_err().contains("heeder"));
    }
}
