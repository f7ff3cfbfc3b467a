//! What is told of a series of measurements.

use serde_json::{Value, json};

/// A series, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// By the nearest rank, between neighbours in proportion.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return f64::NAN;
        };
        #[allow(
            clippy::cast_precision_loss,
            reason = "no series is longer than millions"
        )]
        let at = share * last as f64;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index within the series"
        )]
        let (low, high) = (at.floor() as usize, at.ceil() as usize);
        sorted[low] + (sorted[high] - sorted[low]) * at.fract()
    }

    /// Each less the one of `other` beside it.
    pub(crate) fn less(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(mine, other)| mine - other).collect()
    }

    pub(crate) fn json(&self) -> Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        json!({
            "median": round(self.median()),
            "quartiles": [round(self.quantile(0.25)), round(self.quantile(0.75))],
            "all": self.0.iter().copied().map(round).collect::<Vec<_>>(),
        })
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Extend<f64> for Series {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        self.0.extend(values);
    }
}
