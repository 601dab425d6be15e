//! Synthetic results → SVG, HTML and JSON.

#[path = "../samples.rs"]
#[expect(clippy::unwrap_used, reason = "synthetic results, all of which can be drawn")]
mod samples;

use lapwing_report::ReportError;
use lapwing_report::charts::*;
use std::collections::BTreeSet;

const EVIL: &str = "<script>alert(\"1\")</script>&'\u{1}";

/// Names of all elements; panics unless they are properly nested.
fn elements(text: &str) -> BTreeSet<String> {
    let mut open: Vec<String> = Vec::new();
    let mut names = BTreeSet::new();
    for part in text.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("unclosed tag");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name.trim()), "…</{tag}>");
        } else {
            let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            assert!(!name.is_empty(), "<{tag}>");
            names.insert(name.clone());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "unclosed: {open:?}");
    names
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

#[test]
fn charts_are_well_formed_described_and_within_their_frame() {
    for (name, picture) in samples::pictures() {
        let names = elements(&picture.svg);
        assert!(names.contains("title") && names.contains("desc"), "{name}");
        assert!(picture.svg.len() < 700_000, "{name}: {} bytes", picture.svg.len());
        assert!(picture.caption.len() > 30, "{name}: {}", picture.caption);
        let frame = attribute(&picture.svg, "viewBox").unwrap();
        let ends: Vec<f64> = frame.split(' ').map(|part| part.parse().unwrap()).collect();
        for tag in picture.svg.split("<text").skip(1) {
            let tag = format!("<text{}", tag.split('>').next().unwrap());
            let place = |name: &str| attribute(&tag, name).unwrap().parse::<f64>().unwrap();
            let inside = (0.0..=ends[2]).contains(&place("x")) && (0.0..=ends[3]).contains(&place("y"));
            assert!(inside, "{name}: text outside the frame: {tag}");
        }
        assert!(!picture.svg.contains("NaN") && !picture.svg.contains("inf\""), "{name}");
    }
}

#[test]
fn text_from_data_is_escaped_in_charts_and_pages() {
    let mut bars = samples::recalls();
    bars.bars[0].name = EVIL.into();
    bars.title = EVIL.into();
    bars.note = EVIL.into();
    let picture = bars.picture().unwrap();
    assert!(!elements(&picture.svg).contains("script"));
    assert!(!picture.svg.contains('\u{1}'));
    let mut run = samples::run();
    run.title = EVIL.into();
    run.summary = EVIL.into();
    run.kinds[0].kind = EVIL.into();
    run.facts[0].value = EVIL.into();
    run.notes[0].rows[0][0] = EVIL.into();
    run.commands = vec![EVIL.into()];
    run.pictures = vec![picture];
    let page = run.html().unwrap();
    assert!(!page.contains("<script"), "unescaped script");
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"));
}

#[test]
fn pages_reference_no_external_resources() {
    for page in [samples::run().html(), samples::comparison().html(), samples::card().html()] {
        let page = page.unwrap();
        for reference in ["src=", "href=", "@import", "url(", "<script"] {
            assert!(!page.contains(reference), "{reference}");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
        assert!(page.contains("width=device-width"));
    }
}

#[test]
fn json_and_page_contain_the_same_facts() {
    let run = samples::run();
    let json: serde_json::Value = serde_json::from_str(&run.json().unwrap()).unwrap();
    assert_eq!(json["measures"][0]["id"], "roc-auc");
    assert_eq!(json["measures"][0]["value"], 0.9614);
    assert_eq!(json["measures"][4]["value"], serde_json::Value::Null);
    assert_eq!(json["pictures"].as_array().unwrap().len(), run.pictures.len());
    let page = run.html().unwrap();
    for fact in json["facts"].as_array().unwrap() {
        let value = fact["value"].as_str().unwrap();
        assert!(page.contains(value.split('\u{2009}').next().unwrap()), "{value}");
    }
    let card = samples::card();
    let json: serde_json::Value = serde_json::from_str(&card.json().unwrap()).unwrap();
    assert_eq!(json["quantization"][1]["value"], 0.9614);
    assert_eq!(json["limits"].as_array().unwrap().len(), card.limits.len());
}

#[test]
fn the_caption_reports_subsampled_points() {
    let mut scatter = samples::scatter(1, None);
    scatter.panels[0].points = (0..500_000).map(|at| (f64::from(at), f64::from(at % 977), 0)).collect();
    let picture = scatter.picture().unwrap();
    assert!(picture.caption.contains("2000 of 500000 points of each panel are drawn"), "{}", picture.caption);
    assert!(picture.svg.matches("<circle").count() <= 2_001);
    let roc = Roc {
        curves: vec![Curve {
            name: "many".into(),
            points: (0..300_000).map(|at| (f64::from(at) / 3e5, f64::from(at) / 3e5)).collect(),
            area: None,
        }],
        ..Roc::default()
    };
    assert!(roc.picture().unwrap().svg.len() < 60_000);
}

#[test]
fn empty_charts_are_errors_and_omitted_values_are_counted() {
    assert!(matches!(Roc::default().picture(), Err(ReportError::Empty { .. })));
    assert!(matches!(KDistance { k: 3, ..KDistance::default() }.picture(), Err(ReportError::Empty { .. })));
    let malformed =
        Confusion { truth: vec!["a".into()], answers: vec!["a".into()], counts: vec![], title: "bad".into() };
    let error = malformed.picture().unwrap_err().to_string();
    assert_eq!(error, "chart \"bad\": 0 rows of counts, expected 1");
    let mut histogram = samples::histogram(false);
    histogram.groups[0].scores.extend([f64::NAN, f64::INFINITY]);
    let caption = histogram.picture().unwrap().caption;
    assert!(caption.contains("2 values that are not finite are omitted"), "{caption}");
}

#[test]
fn a_single_value_can_be_drawn() {
    let one = vec![Group { name: "benign".into(), scores: vec![0.5] }];
    for log in [false, true] {
        let histogram = Histogram { groups: one.clone(), log, threshold: Some(0.5), ..samples::histogram(log) };
        assert!(histogram.picture().is_ok());
    }
    let zeros = vec![Group { name: "benign".into(), scores: vec![0.0; 9] }];
    assert!(Histogram { groups: zeros, threshold: None, log: true, ..samples::histogram(true) }.picture().is_ok());
}

#[test]
fn subsampling_retains_every_group() {
    let picture = samples::scatter(1, None).picture().unwrap();
    let colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"];
    for colour in colours {
        assert!(picture.svg.matches(colour).count() > 100, "{colour}");
    }
}
