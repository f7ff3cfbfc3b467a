//! PEM text: blocks of base64 between `-----BEGIN X-----` and `-----END X-----`.
//!
//! Looser than RFC 7468 about lines, because YAML folds them: any break or blank in a block is
//! passed over, and so is text between blocks. Strict about the rest: a block that does not end,
//! or ends under another name, is an error and not a block less.

use base64ct::{Base64, Encoding as _};
use thiserror::Error;

/// What a block begins and ends with, around its label.
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Why text is not PEM.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PemError {
    /// No block.
    #[error("no PEM block (it begins with -----BEGIN PUBLIC KEY-----)")]
    None,
    /// No end.
    #[error("the PEM block {0:?} has no end")]
    Open(String),
    /// Not base64.
    #[error("the PEM block {0:?} is not base64")]
    Base64(String),
}

/// One block.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    pub(super) content: Vec<u8>,
}

/// The blocks of `text`, at least one.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, PemError> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once(BEGIN) {
        let (label, body) = begun
            .split_once(DASHES)
            .filter(|(label, _)| is_label(label))
            .ok_or_else(|| PemError::Open(begun.chars().take(20).collect()))?;
        let end = format!("{END}{label}{DASHES}");
        let (base64, after) = body
            .split_once(end.as_str())
            .ok_or_else(|| PemError::Open(label.to_owned()))?;
        let base64: String = base64.split_ascii_whitespace().collect();
        let content =
            Base64::decode_vec(&base64).map_err(|_| PemError::Base64(label.to_owned()))?;
        blocks.push(Block { label, content });
        rest = after;
    }
    if blocks.is_empty() {
        return Err(PemError::None);
    }
    Ok(blocks)
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_however_lines_are_broken() {
        for text in [
            "-----BEGIN A-----\naGVs\nbG8=\n-----END A-----\n",
            "-----BEGIN A----- aGVs bG8= -----END A-----",
            "-----BEGIN A-----\r\naGVsbG8=\r\n-----END A-----\r\n",
            "a comment\n-----BEGIN A-----aGVsbG8=-----END A-----and another",
        ] {
            let blocks = blocks(text).unwrap();
            assert_eq!(blocks.len(), 1, "{text}");
            assert_eq!(blocks[0].label, "A");
            assert_eq!(blocks[0].content, b"hello");
        }
        let two = "-----BEGIN A-----\n-----END A-----\n-----BEGIN B C-----\n-----END B C-----";
        let two = blocks(two).unwrap();
        assert_eq!((two[0].label, two[1].label), ("A", "B C"));
    }

    #[test]
    fn half_a_block_is_no_block() {
        let open = |label: &str| PemError::Open(label.to_owned());
        for (text, error) in [
            ("", PemError::None),
            ("MFkw", PemError::None),
            ("-----BEGIN A-----\naGVs", open("A")),
            ("-----BEGIN A-----\n-----END B-----", open("A")),
            ("-----BEGIN A", open("A")),
            ("-----BEGIN -----", open("-----")),
            (
                "-----BEGIN A-----\naGV?\n-----END A-----",
                PemError::Base64("A".to_owned()),
            ),
            (
                "-----BEGIN A-----\n-----END A-----\n-----BEGIN B-----",
                open("B"),
            ),
        ] {
            assert_eq!(blocks(text).unwrap_err(), error, "{text}");
        }
    }
}
