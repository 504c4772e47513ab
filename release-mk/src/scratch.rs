//! What a thread that goes through a tree keeps from task to task, so that nothing is allocated for each file.

use std::path::PathBuf;

use crate::children::{Buffer, Names};
use crate::content::Copier;
use crate::entries::Page;

/// All of it.
#[derive(Default)]
pub(crate) struct Own {
    /// For reading directories.
    pub(crate) buffer: Buffer,
    /// What of a directory has been read and not yet been looked at.
    pub(crate) names: Names,
    /// For its files.
    pub(crate) hands: Hands,
}

/// What is needed for each file.
#[derive(Default)]
pub(crate) struct Hands {
    /// Reads and writes its content.
    pub(crate) copier: Copier,
    /// Takes its entry.
    pub(crate) page: Page,
    /// Its path, put together anew for each.
    pub(crate) path: PathBuf,
}
