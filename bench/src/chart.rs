//! The chart: one bar for each row that has something to hold, and a mark where it has to end.

use std::fmt::Write as _;

use crate::row::Figures;

const LINE: usize = 20;
const TEXT: f64 = 380.0;
const WIDTH: f64 = 460.0;
/// Longer ones are cut here; the figure beside them tells.
const LONGEST: f64 = 1.6;

/// Draws the rows that have a bar.
pub(crate) fn svg(rows: &[&Figures]) -> String {
    let rows: Vec<_> = rows.iter().filter_map(|figures| figures.bar.map(|bar| (figures, bar))).collect();
    let height = (rows.len() + 2) * LINE + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"920\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{TEXT}\" y=\"16\" fill=\"#444\">time taken as a share of the peer's; the mark is the most it may be</text>\n"
    );
    let place = |ratio: f64| ratio.clamp(0.0, LONGEST) / LONGEST * WIDTH;
    let one = TEXT + place(1.0);
    let bottom = height - 8;
    // Writing to a String cannot fail.
    let _ = writeln!(svg, "<line x1=\"{one:.1}\" y1=\"22\" x2=\"{one:.1}\" y2=\"{bottom}\" stroke=\"#bbb\"/>");
    for (index, (figures, bar)) in rows.iter().enumerate() {
        let top = (index + 1) * LINE + 8;
        let (colour, held) = if figures.ratio <= *bar { ("#3a7d44", "") } else { ("#b3261e", " LOST") };
        let (width, mark, base) = (place(figures.ratio), TEXT + place(*bar), top + 12);
        let label = escape(&format!("{} / {}", figures.work, figures.against));
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{base}\" text-anchor=\"end\" fill=\"#222\">{label}</text>\
             <rect x=\"{TEXT}\" y=\"{top}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/>\
             <line x1=\"{mark:.1}\" y1=\"{}\" x2=\"{mark:.1}\" y2=\"{}\" stroke=\"#222\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{base}\" fill=\"#222\">{:.2}{held}</text>",
            TEXT - 6.0,
            top - 2,
            top + 16,
            TEXT + width.max(place(*bar)) + 6.0,
            figures.ratio
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
