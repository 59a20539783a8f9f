//! Histograms of latency: nanoseconds, three digits, up to a minute.

use hdrhistogram::Histogram;

/// Largest latency that a histogram holds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// An empty histogram.
///
/// # Errors
/// Never with these bounds; hdrhistogram checks them at run time.
pub fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).map_err(|error| error.to_string())
}

/// Adds one latency; one too short for the clock counts as a nanosecond.
pub fn record(histogram: &mut Histogram<u64>, latency_ns: u64) {
    histogram.saturating_record(latency_ns.max(1));
}

/// `"name_us": {"p50": .., ..}`, in microseconds.
pub fn json(name: &str, histogram: &Histogram<u64>) -> String {
    let us = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "\"{name}_us\": {{\"p50\": {:.1}, \"p99\": {:.1}, \"p99.9\": {:.1}, \"max\": {:.1}}}",
        us(0.5),
        us(0.99),
        us(0.999),
        histogram.max() as f64 / 1000.0
    )
}
