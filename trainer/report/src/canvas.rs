//! Lines, shapes, text → SVG. One canvas unit is half a CSS pixel at full width.
//!
//! Neutral colours become CSS variables that default to the colour, so that a dark page can override them.

use crate::error::ReportError;
use crate::palette::{FAINT, GRID, INK, Marker, SeriesStyle};
use crate::picture::{Picture, escape};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::{
    Circle, Color, DrawingArea, IntoDrawingArea, PathElement, Polygon, RGBColor, Rectangle, SVGBackend, ShapeStyle,
    Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, FontTransform};

/// Width of every chart, canvas units.
pub(crate) const WIDTH: i32 = 1_200;
/// Font size, canvas units.
pub(crate) const FONT: f64 = 27.0;
/// Small font size, canvas units.
pub(crate) const SMALL: f64 = 24.0;

type DrawError = plotters::drawing::DrawingAreaErrorKind<std::io::Error>;

/// Horizontal alignment of a text at its anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Middle,
    Right,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TextStyle {
    pub(crate) size: f64,
    pub(crate) colour: RGBColor,
    pub(crate) align: Align,
    /// Read from bottom to top.
    pub(crate) vertical: bool,
    pub(crate) bold: bool,
}

impl TextStyle {
    pub(crate) const fn new(align: Align) -> Self {
        Self { size: FONT, colour: INK, align, vertical: false, bold: false }
    }

    pub(crate) const fn small(self) -> Self {
        Self { size: SMALL, ..self }
    }

    pub(crate) const fn vertical(self) -> Self {
        Self { vertical: true, ..self }
    }

    pub(crate) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// Drawing area. Drawing methods do not return errors; [`picture`] returns the first one.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    first_error: Option<DrawError>,
}

impl Canvas<'_> {
    fn record(&mut self, result: Result<(), DrawError>) {
        if let Err(error) = result {
            self.first_error.get_or_insert(error);
        }
    }

    /// Draws a solid line through the points.
    pub(crate) fn line(&mut self, points: &[(i32, i32)], colour: RGBColor, width: u32) {
        let drawn = self.area.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width)));
        self.record(drawn);
    }

    /// Draws a line in the colour and dash pattern of a series.
    pub(crate) fn series(&mut self, points: &[(i32, i32)], style: SeriesStyle, width: u32) {
        let (dash, gap) = style.dash;
        if gap == 0 || points.len() < 2 {
            return self.line(points, style.colour, width);
        }
        let style = style.colour.stroke_width(width);
        let drawn = self.area.draw(&DashedPathElement::new(points.to_vec(), dash, gap, style));
        self.record(drawn);
    }

    /// Draws a dashed straight line.
    pub(crate) fn dashed(&mut self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        let drawn = self.area.draw(&DashedPathElement::new(vec![from, to], 14, 10, colour.stroke_width(3)));
        self.record(drawn);
    }

    /// Fills a rectangle between two corners.
    pub(crate) fn fill(&mut self, corners: [(i32, i32); 2], colour: RGBColor, opacity: f64) {
        let drawn = self.area.draw(&Rectangle::new(corners, colour.mix(opacity).filled()));
        self.record(drawn);
    }

    /// Draws the outline of a rectangle.
    pub(crate) fn outline(&mut self, corners: [(i32, i32); 2], colour: RGBColor) {
        let [(left, top), (right, bottom)] = corners;
        self.line(&[(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], colour, 2);
    }

    pub(crate) fn polygon(&mut self, points: &[(i32, i32)], colour: RGBColor, opacity: f64) {
        let drawn = self.area.draw(&Polygon::new(points.to_vec(), colour.mix(opacity).filled()));
        self.record(drawn);
    }

    /// Draws the marker of a series, `size` units from centre to edge.
    pub(crate) fn marker(&mut self, (x, y): (i32, i32), style: SeriesStyle, size: i32, opacity: f64) {
        let colour = style.colour;
        let mut polygon = |points: &[(i32, i32)]| self.polygon(points, colour, opacity);
        match style.marker {
            Marker::Triangle => polygon(&[(x, y - size), (x + size, y + size), (x - size, y + size)]),
            Marker::Down => polygon(&[(x, y + size), (x + size, y - size), (x - size, y - size)]),
            Marker::Diamond => polygon(&[(x, y - size - 1), (x + size + 1, y), (x, y + size + 1), (x - size - 1, y)]),
            Marker::Square => self.fill([(x - size, y - size), (x + size, y + size)], colour, opacity),
            Marker::Circle | Marker::Ring => {
                let shape: ShapeStyle = colour.mix(opacity).into();
                let shape = if style.marker == Marker::Circle { shape.filled() } else { shape.stroke_width(3) };
                let drawn = self.area.draw(&Circle::new((x, y), size, shape));
                self.record(drawn);
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

    /// Draws text, vertically centred at `at`.
    pub(crate) fn text(&mut self, text: &str, at: (i32, i32), style: TextStyle) {
        let align = match style.align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
        // The backend divides every size by 1.24.
        let mut font = FontDesc::new(FontFamily::SansSerif, style.size * 1.24, weight);
        if style.vertical {
            font = font.transform(FontTransform::Rotate270);
        }
        let font = font.color(&style.colour).pos(Pos::new(align, VPos::Center));
        let clean: String = text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        let drawn = self.area.draw(&Text::new(clean, at, font));
        self.record(drawn);
    }
}

/// Draws a picture of the given height, canvas units.
pub(crate) fn picture(
    title: &str,
    caption: &str,
    height: i32,
    draw: impl FnOnce(&mut Canvas<'_>),
) -> Result<Picture, ReportError> {
    let drawing = |error: DrawError| ReportError::Drawing { picture: title.into(), reason: error.to_string() };
    let mut svg = String::new();
    {
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let mut canvas =
            Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area(), first_error: None };
        draw(&mut canvas);
        if let Some(error) = canvas.first_error {
            return Err(drawing(error));
        }
        canvas.area.present().map_err(drawing)?;
    }
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let body = with_css_variables(body);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n\
         <title>{label}</title>\n<desc>{desc}</desc>{body}",
        label = escape(title),
        desc = escape(caption),
    );
    Ok(Picture { title: title.into(), caption: caption.into(), svg })
}

fn with_css_variables(svg: &str) -> String {
    let colour = |colour: RGBColor| format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
    let variable = |svg: String, rgb: RGBColor, name: &str| {
        let hex = colour(rgb);
        svg.replace(&format!("\"{hex}\""), &format!("\"var(--{name},{hex})\""))
    };
    let svg = variable(svg.into(), INK, "ink");
    let svg = variable(svg, FAINT, "faint");
    variable(svg, GRID, "grid").replace("\n</text>", "</text>")
}

/// Estimated width of a text, canvas units: sans-serif letters are about 0.56 times as wide as high.
pub(crate) fn width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * 0.56).ceil() as i32
}

/// The text, shortened with an ellipsis to at most `characters`.
pub(crate) fn short(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.into();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}
