//! Lines of columns, as wide as what stands in them, cut at the width of the terminal. Pure.

use std::time::SystemTime;

use record::visible;

use crate::text::{self, Clock};

/// How lines are printed.
#[derive(Debug)]
pub(crate) struct Look {
    /// Where times are shown.
    pub(crate) clock: Clock,
    /// Whether lines are coloured.
    pub(crate) colored: bool,
    /// How wide they may be; `None` where nobody would cut them.
    pub(crate) width: Option<usize>,
    /// The clock.
    pub(crate) now: SystemTime,
}

/// What a line is about, which is its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    /// Nothing in particular.
    Plain,
    /// The words above the columns.
    Head,
    /// What is live.
    Current,
    /// What went wrong.
    Wrong,
    /// What matters less.
    Dim,
}

/// The cells of a line.
pub(crate) type Line = (Tint, Vec<String>);

/// Below what a note stands that has a line of its own.
const NOTE_INDENT: usize = 6;

/// Lines of columns. Where they do not fit the terminal, the last column, the note, gets a line of its own below.
pub(crate) fn columns(lines: &[Line], look: &Look) -> Vec<String> {
    let mut shown: Vec<Line> =
        lines.iter().map(|(tint, cells)| (*tint, cells.iter().map(|cell| visible(cell)).collect())).collect();
    let natural = widths(&shown);
    let whole = natural.iter().filter(|width| **width > 0).map(|width| width + 2).sum::<usize>().saturating_sub(2);
    let mut notes = vec![String::new(); shown.len()];
    if look.width.is_some_and(|width| whole > width) {
        notes = shown.iter_mut().map(|(_, cells)| cells.pop().unwrap_or_default()).collect();
        // The head's word for the column that is gone.
        notes.iter_mut().take(1).for_each(String::clear);
    }
    let widths = widths(&shown);
    let mut text = Vec::with_capacity(shown.len());
    for ((tint, cells), note) in shown.iter().zip(notes) {
        text.push(line(*tint, cells, &widths, look));
        if !note.is_empty() {
            let cell = [format!("{}{note}", " ".repeat(NOTE_INDENT))];
            text.push(line(*tint, &cell, &[1], look));
        }
    }
    text
}

fn widths(lines: &[Line]) -> Vec<usize> {
    let count = lines.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let length = |(_, cells): &Line, column: usize| cells.get(column).map_or(0, |cell| cell.chars().count());
    let widest = |column: usize| {
        let below_head = lines.iter().skip(1).map(|line| length(line, column)).max().unwrap_or(0);
        // A column in which nothing stands would only look like a mistake.
        if below_head == 0 { 0 } else { lines.first().map_or(0, |head| length(head, column)).max(below_head) }
    };
    (0..count).map(widest).collect()
}

fn line(tint: Tint, cells: &[String], widths: &[usize], look: &Look) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        if *width > 0 {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
    }
    let line = line.trim_end();
    let line = look.width.map_or_else(|| line.to_owned(), |width| text::cut(line, width));
    let code = match tint {
        _ if !look.colored => return line,
        Tint::Plain => return line,
        Tint::Head => "1",
        Tint::Current => "32",
        Tint::Wrong => "31",
        Tint::Dim => "2",
    };
    format!("\u{1b}[{code}m{line}\u{1b}[0m")
}
