//! The one table of exit statuses.

/// How a tool ends; the numbers are documented API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Done,
    /// 1: failed. release-*: the state is as before; svc-*: the record says what is where.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: the question was asked and the answer is no.
    Unhealthy,
    /// 4: done, but the record could not be written or durability is in doubt.
    Unrecorded,
    /// 5: an undo failed; look at once.
    UndoFailed,
    /// 6: held, waits for promotion.
    Held,
    /// 65: stdin is no valid record, or contradicts the disk or a flag.
    InvalidInput,
    /// 66: stdin is empty; the stage before died.
    EmptyInput,
    /// 69: nothing to roll back to, no such release.
    NoCandidate,
    /// 75: locked, held or superseded by somebody else.
    Busy,
    /// 77: refused as unsafe.
    Unsafe,
    /// 128 + n: interrupted by signal n.
    Interrupted(i32),
    /// N: the exit status of a failed stage before.
    Of(u8),
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unhealthy => 3,
            Self::Unrecorded => 4,
            Self::UndoFailed => 5,
            Self::Held => 6,
            Self::InvalidInput => 65,
            Self::EmptyInput => 66,
            Self::NoCandidate => 69,
            Self::Busy => 75,
            Self::Unsafe => 77,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(1),
            Self::Of(code) => code,
        }
    }

    /// The table as manual pages print it: status and meaning.
    pub const TABLE: &'static [(&'static str, &'static str)] = &[
        ("0", "done, or nothing to do"),
        ("1", "failed; release-*: the state is as before; svc-*: the record says what is where"),
        ("2", "usage"),
        ("3", "unhealthy: the question was asked and the answer is no"),
        ("4", "done, but the record could not be written or durability is in doubt"),
        ("5", "an undo failed: look at once"),
        ("6", "held: waits for promotion"),
        ("65", "stdin is no valid record, or contradicts the disk or a flag"),
        ("66", "stdin is empty: the stage before died"),
        ("69", "no candidate: nothing to roll back to, no such release"),
        ("75", "locked, held or superseded by somebody else"),
        ("77", "refused as unsafe: ownership or modes of the root, hostile archive, link out of the tree, file system"),
        ("128+n", "interrupted by signal n"),
        ("N", "error.exit of a failed stage before"),
    ];
}
