//! Roots on a real disk: what is refused, what is taken back, what a crash leaves and the next lock settles.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests do what people and other programs do to a root")]
#![expect(clippy::print_stdout, reason = "shown when a test fails")]

mod links;
mod releases;
mod scene;
mod state;
