//! Names as people may see them.

use std::path::Path;

/// The path with control characters escaped and bytes that are no UTF-8 replaced: for messages only.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}
