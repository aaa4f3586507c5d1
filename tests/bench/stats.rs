//! Rounds into figures. A ratio is always that of one round; what is reported is the median of the ratios.

/// The median; of none: 0.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this part of the values lies, between neighbours where it falls between two.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let at = part * last as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (at - at.floor())
}

pub(crate) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

pub(crate) fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// One side of a comparison against the other, round by round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The least of the one by the least of the other: a second opinion, blind to slow rounds.
    pub(crate) of_minima: f64,
}

impl Ratio {
    /// Both lists are in the order of the rounds.
    pub(crate) fn paired(variant: &[f64], base: &[f64]) -> Self {
        let ratios: Vec<f64> = variant
            .iter()
            .zip(base)
            .map(|(variant, base)| variant / base)
            .collect();
        Self {
            median: median(&ratios),
            min: least(&ratios),
            max: greatest(&ratios),
            of_minima: least(variant) / least(base),
        }
    }

    /// Whether the two opinions differ so much that the rounds disturbed each other.
    pub(crate) fn is_noisy(&self) -> bool {
        (self.median / self.of_minima - 1.0).abs() > 0.15
    }

    /// Whether this is near enough to 1 for equal things; else the run gives no verdicts.
    pub(crate) fn is_level(&self) -> bool {
        (0.9..=1.1).contains(&self.median)
    }
}
