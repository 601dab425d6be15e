use super::api::ApiLimits;
use super::*;
use crate::evaluate::{Plan, judge};
use crate::web::api::Document;
use crate::web::testing::{ask, documented};
use crate::web::{Site, WebServer};
use lapwing_methods::silent;
use lapwing_tables::{ColumnType, Row, Split, Table, TableBuilder, Value};
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use utoipa::OpenApi;

fn table() -> Table {
    let columns = [("bytes", ColumnType::Number), ("rate", ColumnType::Number), ("proto", ColumnType::Category)];
    let mut builder = TableBuilder::new(columns).unwrap();
    builder.file("made.csv", "00", 0).unwrap();
    let mut rng = fastrand::Rng::with_seed(8);
    for row in 0..900_u64 {
        let attack = [None, None, Some("flood"), Some("scan")][row as usize % 4];
        let off = attack.map_or(0.0, |kind| if kind == "flood" { 900.0 } else { -90.0 });
        let proto = Value::Category(if attack == Some("scan") { "tcp" } else { ["tcp", "udp"][rng.usize(..2)] });
        let values = [Value::Number(rng.f32() * 50.0 + off), Value::Number(rng.f32()), proto];
        builder.push(&values, &Row { attack, file_row: row + 1, ..Row::default() }).unwrap();
    }
    builder.finish().unwrap()
}

fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let made = || {
        let table = table();
        let plan = Plan { method: "random-forest".parse().unwrap(), name_kinds: true, resamples: 0, ..Plan::default() };
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let judged = judge(&table, &split, &plan, &silent).unwrap();
        Arc::new(Model::new("table", &table, &plan, judged).unwrap())
    };
    Arc::clone(MODEL.get_or_init(made))
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("lapwing-predict-{}-{name}", std::process::id()))
}

fn row(bytes: Json, rate: Json, proto: Json) -> Map<String, Json> {
    let row = json!({"bytes": bytes, "rate": rate, "proto": proto});
    row.as_object().unwrap().clone()
}

#[test]
fn a_saved_model_gives_the_same_answers() {
    let (model, path) = (model(), scratch("model"));
    model.save(&path).unwrap();
    let loaded = Model::load(&path).unwrap();
    let table = table();
    assert_eq!(loaded.predict(&table, false).unwrap(), model.predict(&table, false).unwrap());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn damaged_foreign_and_newer_model_files_are_refused_with_what_was_expected() {
    let path = scratch("bad");
    model().save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let told = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Model::load(&path).err().unwrap().to_string()
    };
    assert!(told(b"").contains("no model"));
    assert!(told(b"PK\x03\x04 something else").contains("`evaluate --save`"));
    assert!(told(&good[..good.len() - 1]).contains("its digest differs"));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(told(&flipped).contains("its digest differs"));
    let newer = String::from_utf8_lossy(&good[..16]).replace("model 2", "model 9").into_bytes();
    assert!(told(&[&newer[..], &good[16..]].concat()).contains("format version 9"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn kinds_are_named_and_the_feature_that_makes_a_row_odd_comes_first() {
    let model = model();
    let rows = [row(json!(930.0), json!(0.5), json!("tcp")), row(json!(20.0), json!(0.5), json!("udp"))];
    let predictions = model.predict(&json_table(&model, &rows).unwrap(), true).unwrap();
    assert!(predictions[0].attack && predictions[0].kind.as_deref() == Some("flood"), "{:?}", predictions[0]);
    let first = &predictions[0].suspicious[0];
    assert_eq!((first.feature.as_str(), first.value.as_str()), ("bytes", "930"));
    assert!(first.score_without < predictions[0].score && first.usual.contains("median"));
    assert!(!predictions[1].attack && predictions[1].kind.as_deref() == Some("benign"));
    assert!(predictions[0].benign_share < predictions[1].benign_share);
}

#[test]
fn rows_that_do_not_fit_are_told_with_row_column_and_what_was_expected() {
    let model = model();
    let good = row(json!(1), json!(2), json!("tcp"));
    let told = |bad: Map<String, Json>| json_table(&model, &[good.clone(), bad]).err().unwrap().to_string();
    let mut less = good.clone();
    less.remove("rate");
    assert_eq!(told(less), "row 2, column rate: found nothing, expected a number, or null where it is missing");
    let text = row(json!("many"), json!(2), json!("tcp"));
    assert_eq!(
        told(text),
        "row 2, column bytes: found the text \"many\", expected a number, or null where it is missing"
    );
    let number = row(json!(1), json!(2), json!(6));
    assert!(told(number).contains("column proto: found the number 6, expected a text"));
    let mut more = good.clone();
    more.insert("byte".into(), json!(1));
    assert!(told(more).contains("column byte: found a column that the model does not know"));
    assert!(json_table(&model, &[row(Json::Null, Json::Null, Json::Null)]).is_ok());
}

#[test]
fn a_csv_file_is_read_by_its_header_and_a_missing_column_is_named() {
    let (model, path) = (model(), scratch("rows.csv"));
    std::fs::write(&path, "extra,proto,rate,bytes\n9,tcp,0.5,930\n9,udp,0.5,20\n").unwrap();
    let predictions = model.predict(&csv_table(&model, &path).unwrap(), false).unwrap();
    assert_eq!(predictions.iter().map(|found| found.attack).collect::<Vec<_>>(), [true, false]);
    std::fs::write(&path, "proto,rate\ntcp,0.5\n").unwrap();
    assert!(csv_table(&model, &path).err().unwrap().to_string().contains("bytes"));
    std::fs::write(&path, "proto,rate,bytes\ntcp,0.5,1\ntcp,0.5,lots\n").unwrap();
    let told = csv_table(&model, &path).err().unwrap().to_string();
    assert!(told.contains("column bytes") && told.contains("lots"), "{told}");
    std::fs::remove_file(path).unwrap();
}

fn start(limits: ApiLimits) -> WebServer {
    let site = Site { model: Some(model()), limits, ..Site::default() };
    WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap()
}

#[test]
fn every_answer_fits_the_published_document() {
    let server = start(ApiLimits { rows: 3, ..ApiLimits::default() });
    let (status, document) = ask(server.address, "GET", "/api/v1/openapi.json", "");
    assert_eq!(status, 200);
    assert_eq!(document, serde_json::to_value(Document::openapi()).unwrap());
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let good = json!({"rows": [row(json!(930), json!(0.5), json!("tcp"))], "explain": true});
    let many = json!({"rows": vec![row(json!(1), json!(2), json!("tcp")); 4]});
    let odd = json!({"rows": [{"bytes": "x", "rate": 1, "proto": "tcp"}]});
    let none = json!({"rows": []});
    let cases = [
        (good.to_string(), 200),
        (none.to_string(), 200),
        (odd.to_string(), 422),
        (many.to_string(), 413),
        ("{\"rows\": 3}".into(), 400),
        ("{\"rows\": [], \"more\": 1}".into(), 400),
        ("not json".into(), 400),
    ];
    for (body, expected) in cases {
        let answer = ask(server.address, "POST", "/api/v1/predict", &body);
        assert_eq!(answer.0, expected, "{body}: {answer:?}");
        documented(&document, "/api/v1/predict", "post", &answer).unwrap();
    }
    let answer = ask(server.address, "GET", "/api/v1/model", "");
    documented(&document, "/api/v1/model", "get", &answer).unwrap();
    assert_eq!(answer.1["features"][0], json!({"name": "bytes", "type": "number"}));
    server.stop().unwrap();
}

#[test]
fn the_check_against_the_document_can_fail() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let wrong = |body: Json| documented(&document, "/api/v1/predict", "post", &(200, body)).unwrap_err();
    assert!(wrong(json!({"threshold": 1.0, "predictions": []})).contains("no data_sha256"));
    assert!(wrong(json!({"threshold": "high", "data_sha256": "", "predictions": []})).contains("threshold"));
    assert!(
        wrong(json!({"threshold": 1.0, "data_sha256": "", "predictions": [{"row": 1}]})).contains("predictions[0]")
    );
    assert!(documented(&document, "/api/v1/predict", "post", &(418, json!({}))).is_err());
}

#[test]
fn schema_errors_name_row_and_column_and_limits_are_told() {
    let server = start(ApiLimits { body_bytes: 200, ..ApiLimits::default() });
    let odd = json!({"rows": [{"bytes": 1, "rate": 1, "proto": "tcp"}, {"bytes": 1, "rate": [], "proto": "tcp"}]});
    let (status, told) = ask(server.address, "POST", "/api/v1/predict", &odd.to_string());
    assert_eq!(status, 422);
    assert_eq!(
        (told["code"].as_str(), told["row"].as_u64(), told["column"].as_str()),
        (Some("schema"), Some(2), Some("rate"))
    );
    assert_eq!(told["found"], "a list");
    let (status, told) = ask(server.address, "POST", "/api/v1/predict", &" ".repeat(201));
    assert_eq!((status, told["code"].as_str()), (413, Some("too-large")));
    server.stop().unwrap();
    let server = start(ApiLimits { at_once: 0, ..ApiLimits::default() });
    let (status, told) = ask(server.address, "POST", "/api/v1/predict", "{\"rows\": []}");
    assert_eq!((status, told["code"].as_str()), (503, Some("busy")));
    server.stop().unwrap();
}
