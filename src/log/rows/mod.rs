//! (being built)
use super::{Options, Progress, Recovery};
pub struct RowLog;
impl RowLog {
    pub fn open(
        _: &std::path::Path,
        _: Options,
        _: &mut dyn FnMut(Progress),
    ) -> Result<(crate::log::segment::SegmentLog, Recovery), crate::error::Fatal> {
        Err(crate::error::Fatal::Setup("not yet".into()))
    }
}
