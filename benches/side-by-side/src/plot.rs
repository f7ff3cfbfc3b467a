//! Plots as SVG, as plain as they can be: bars side by side, and curves.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;

/// By side; distinct in grey, too.
fn color(name: &str) -> &'static str {
    match name {
        "native" => "#9aa0a6",
        "v8" => "#e07b39",
        "ours" => "#1f6feb",
        "ours_warm" => "#57c7b6",
        _ => "#444444",
    }
}

fn label(name: &str) -> &str {
    match name {
        "native" => "native module",
        "v8" => "Envoy's Wasm filter (V8)",
        "ours" => "wasmplugin",
        "ours_warm" => "wasmplugin, filled cache",
        other => other,
    }
}

/// Something drawn.
struct Canvas {
    svg: String,
    top_value: f64,
}

impl Canvas {
    fn new(title: &str, y: &str, most: f64) -> Self {
        let mut canvas = Self {
            svg: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
                 font-family=\"sans-serif\" font-size=\"12\">\n\
                 <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
            ),
            top_value: 1.0,
        };
        canvas.text(LEFT, 16.0, "start", title);
        let step = step(most);
        canvas.top_value = (most / step).ceil().max(1.0) * step;
        let mut value = 0.0;
        while value <= canvas.top_value + step / 2.0 {
            let at = canvas.y(value);
            canvas.line((LEFT, at), (WIDTH - RIGHT, at), "#dddddd", 1.0);
            let digits = if step < 1.0 { 2 } else { 0 };
            canvas.text(LEFT - 6.0, at + 4.0, "end", &format!("{value:.digits$}"));
            value += step;
        }
        canvas.text(LEFT, HEIGHT - 6.0, "start", y);
        canvas
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / self.top_value).max(0.0)
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _infallible = writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{text}</text>"
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), color: &str, width: f64) {
        let _infallible = writeln!(
            self.svg,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" \
             stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn bar(&mut self, x: f64, width: f64, value: f64, color: &str) {
        let top = self.y(value);
        let height = HEIGHT - BOTTOM - top;
        let _infallible = writeln!(
            self.svg,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
        );
    }

    fn dot(&mut self, x: f64, y: f64, color: &str) {
        let _infallible = writeln!(
            self.svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
        );
    }

    fn legend(&mut self, names: &[&str]) {
        let mut x = LEFT;
        for name in names {
            let _infallible = writeln!(
                self.svg,
                "<rect x=\"{x:.1}\" y=\"23\" width=\"10\" height=\"10\" fill=\"{}\"/>",
                color(name)
            );
            self.text(x + 15.0, 32.0, "start", label(name));
            x += 190.0;
        }
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// A round step that divides `most` into some four to eight parts.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most.max(1e-9) / 4.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let fits = steps.into_iter().find(|step| most / step <= 8.0);
    fits.unwrap_or(power * 10.0)
}

/// Groups of bars: a name each, and the values of `names` in their order.
pub(crate) fn bars(title: &str, y: &str, names: &[&str], groups: &[(String, Vec<f64>)]) -> String {
    let values = groups.iter().flat_map(|(_, values)| values.iter().copied());
    let mut canvas = Canvas::new(title, y, values.fold(0.0, f64::max));
    canvas.legend(names);
    let width = (WIDTH - LEFT - RIGHT) / count(groups.len().max(1));
    let bar = width * 0.8 / count(names.len().max(1));
    for (group, (name, values)) in groups.iter().enumerate() {
        let left = LEFT + width * count(group);
        for (at, (value, side)) in values.iter().zip(names).enumerate() {
            let x = left + width * 0.1 + bar * count(at);
            canvas.bar(x, bar - 2.0, *value, color(side));
            let top = canvas.y(*value) - 3.0;
            canvas.text(x + bar / 2.0, top, "middle", &format!("{value:.1}"));
        }
        canvas.text(left + width / 2.0, HEIGHT - BOTTOM + 16.0, "middle", name);
    }
    canvas.finish()
}

/// Curves over the same numbers; on a logarithmic axis where those spread over decades.
pub(crate) fn curves(title: &str, x: &str, y: &str, curves: &[(&str, Vec<(f64, f64)>)]) -> String {
    let points = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    let most = points().map(|(_, y)| y).fold(0.0, f64::max);
    let (low, high) = points()
        .map(|(x, _)| x)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), x| {
            (low.min(x), high.max(x))
        });
    let is_wide = low > 0.0 && high / low > 200.0;
    let place = |x: f64| {
        let share = if is_wide {
            (x / low).ln() / (high / low).ln()
        } else {
            x / high
        };
        LEFT + 8.0 + (WIDTH - LEFT - RIGHT - 16.0) * share
    };
    let mut canvas = Canvas::new(title, &format!("{y}, by {x}"), most);
    canvas.legend(&curves.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let mut named = Vec::new();
    for (name, points) in curves {
        let mut last = None;
        for (x, y) in points {
            let here = (place(*x), canvas.y(*y));
            if let Some(last) = last {
                canvas.line(last, here, color(name), 2.0);
            }
            canvas.dot(here.0, here.1, color(name));
            last = Some(here);
            if !named.contains(x) {
                named.push(*x);
                canvas.text(here.0, HEIGHT - BOTTOM + 16.0, "middle", &format!("{x}"));
            }
        }
    }
    canvas.finish()
}

fn count(count: usize) -> f64 {
    crate::case::number(count)
}
