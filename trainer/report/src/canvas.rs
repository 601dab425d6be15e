//! Lines, shapes and words on an SVG canvas; one canvas unit is half a CSS pixel at full width.
//!
//! Neutral colours become CSS variables with themselves as default, so that the same SVG is readable on a dark page.

use crate::error::ReportError;
use crate::palette::{FAINT, GRID, INK, Look, Marker};
use crate::picture::{Picture, escape};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::{
    Circle, Color, DrawingArea, IntoDrawingArea, PathElement, Polygon, RGBColor, Rectangle, SVGBackend, ShapeStyle,
    Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, FontTransform};

/// Width of every picture, canvas units.
pub(crate) const WIDTH: i32 = 1_200;
/// Height of words, canvas units.
pub(crate) const FONT: f64 = 27.0;
/// Height of small words, canvas units.
pub(crate) const SMALL: f64 = 24.0;

type Failed = plotters::drawing::DrawingAreaErrorKind<std::io::Error>;

/// Where the words' middle or edge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Middle,
    Right,
}

/// How words look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) size: f64,
    pub(crate) colour: RGBColor,
    pub(crate) side: Side,
    pub(crate) upright: bool,
    pub(crate) bold: bool,
}

impl Words {
    pub(crate) const fn new(side: Side) -> Self {
        Self { size: FONT, colour: INK, side, upright: false, bold: false }
    }

    pub(crate) const fn small(self) -> Self {
        Self { size: SMALL, ..self }
    }

    pub(crate) const fn upright(self) -> Self {
        Self { upright: true, ..self }
    }

    pub(crate) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// Draws; the first failure is kept and told at the end.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    failed: Option<Failed>,
}

impl Canvas<'_> {
    fn keep(&mut self, result: Result<(), Failed>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    /// A line through all points.
    pub(crate) fn line(&mut self, points: &[(i32, i32)], colour: RGBColor, width: u32) {
        let drawn = self.area.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width)));
        self.keep(drawn);
    }

    /// A line in the series' colour and dash.
    pub(crate) fn series(&mut self, points: &[(i32, i32)], look: Look, width: u32) {
        let (dash, gap) = look.dash;
        if gap == 0 || points.len() < 2 {
            return self.line(points, look.colour, width);
        }
        let style = look.colour.stroke_width(width);
        let drawn = self.area.draw(&DashedPathElement::new(points.to_vec(), dash, gap, style));
        self.keep(drawn);
    }

    /// A dashed straight line.
    pub(crate) fn dashed(&mut self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        let drawn = self.area.draw(&DashedPathElement::new(vec![from, to], 14, 10, colour.stroke_width(3)));
        self.keep(drawn);
    }

    /// A filled rectangle between two corners.
    pub(crate) fn fill(&mut self, corners: [(i32, i32); 2], colour: RGBColor, opacity: f64) {
        let drawn = self.area.draw(&Rectangle::new(corners, colour.mix(opacity).filled()));
        self.keep(drawn);
    }

    /// The outline of a rectangle.
    pub(crate) fn outline(&mut self, corners: [(i32, i32); 2], colour: RGBColor) {
        let [(left, top), (right, bottom)] = corners;
        self.line(&[(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], colour, 2);
    }

    /// A filled shape.
    pub(crate) fn polygon(&mut self, points: &[(i32, i32)], colour: RGBColor, opacity: f64) {
        let drawn = self.area.draw(&Polygon::new(points.to_vec(), colour.mix(opacity).filled()));
        self.keep(drawn);
    }

    /// One point of a series, `size` units from middle to edge.
    pub(crate) fn marker(&mut self, (x, y): (i32, i32), look: Look, size: i32, opacity: f64) {
        let colour = look.colour;
        let mut closed = |points: &[(i32, i32)]| self.polygon(points, colour, opacity);
        match look.marker {
            Marker::Triangle => closed(&[(x, y - size), (x + size, y + size), (x - size, y + size)]),
            Marker::Down => closed(&[(x, y + size), (x + size, y - size), (x - size, y - size)]),
            Marker::Diamond => closed(&[(x, y - size - 1), (x + size + 1, y), (x, y + size + 1), (x - size - 1, y)]),
            Marker::Square => self.fill([(x - size, y - size), (x + size, y + size)], colour, opacity),
            Marker::Circle | Marker::Ring => {
                let style: ShapeStyle = colour.mix(opacity).into();
                let style = if look.marker == Marker::Circle { style.filled() } else { style.stroke_width(3) };
                let drawn = self.area.draw(&Circle::new((x, y), size, style));
                self.keep(drawn);
            }
            Marker::Plus => {
                self.line(&[(x - size, y), (x + size, y)], colour, 3);
                self.line(&[(x, y - size), (x, y + size)], colour, 3);
            }
            Marker::Cross => {
                self.line(&[(x - size, y - size), (x + size, y + size)], colour, 3);
                self.line(&[(x - size, y + size), (x + size, y - size)], colour, 3);
            }
        }
    }

    /// Words, vertically centred on the place; upright ones read from bottom to top.
    pub(crate) fn words(&mut self, text: &str, at: (i32, i32), words: Words) {
        let side = match words.side {
            Side::Left => HPos::Left,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Right,
        };
        let style = if words.bold { FontStyle::Bold } else { FontStyle::Normal };
        // The backend divides every size by 1.24.
        let mut font = FontDesc::new(FontFamily::SansSerif, words.size * 1.24, style);
        if words.upright {
            font = font.transform(FontTransform::Rotate270);
        }
        let style = font.color(&words.colour).pos(Pos::new(side, VPos::Center));
        let clean: String = text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        let drawn = self.area.draw(&Text::new(clean, at, style));
        self.keep(drawn);
    }
}

/// Makes a picture of this height in canvas units.
pub(crate) fn picture(
    title: &str,
    caption: &str,
    height: i32,
    draw: impl FnOnce(&mut Canvas<'_>),
) -> Result<Picture, ReportError> {
    let drawing = |error: Failed| ReportError::Drawing { picture: title.into(), reason: error.to_string() };
    let mut svg = String::new();
    {
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let mut canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area(), failed: None };
        draw(&mut canvas);
        if let Some(error) = canvas.failed {
            return Err(drawing(error));
        }
        canvas.area.present().map_err(drawing)?;
    }
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let body = neutral(body);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n\
         <title>{label}</title>\n<desc>{desc}</desc>{body}",
        label = escape(title),
        desc = escape(caption),
    );
    Ok(Picture { title: title.into(), caption: caption.into(), svg })
}

fn neutral(svg: &str) -> String {
    let colour = |colour: RGBColor| format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
    let variable = |svg: String, rgb: RGBColor, name: &str| {
        let plain = colour(rgb);
        svg.replace(&format!("\"{plain}\""), &format!("\"var(--{name},{plain})\""))
    };
    let svg = variable(svg.into(), INK, "ink");
    let svg = variable(svg, FAINT, "faint");
    variable(svg, GRID, "grid").replace("\n</text>", "</text>")
}

/// Width of words, canvas units: sans-serif letters are a little over half as wide as high.
pub(crate) fn width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * 0.56).ceil() as i32
}

/// The words, shortened with an ellipsis to at most so many characters.
pub(crate) fn short(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.into();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}
