//! A model saved by an evaluation → the same predictions from files, rows and the HTTP API.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_lab::evaluate::{evaluate, saved_model};
use lapwing_methods::silent;
use lapwing_models::*;
use lapwing_tables::{ColumnType, Row, Split, Table, TableBuilder, Value};
use lapwing_web::openapi::Document;
use lapwing_web::predict::ApiLimits;
use lapwing_web::testing::{ask, documented};
use lapwing_web::{Site, WebServer};
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
        let offset = attack.map_or(0.0, |kind| if kind == "flood" { 900.0 } else { -90.0 });
        let proto = Value::Category(if attack == Some("scan") { "tcp" } else { ["tcp", "udp"][rng.usize(..2)] });
        let values = [Value::Number(rng.f32() * 50.0 + offset), Value::Number(rng.f32()), proto];
        builder.push(&values, &Row { attack, file_row: row + 1, ..Row::default() }).unwrap();
    }
    builder.finish().unwrap()
}

fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let build = || {
        let table = table();
        let plan = Plan { method: "random-forest".parse().unwrap(), name_kinds: true, resamples: 0, ..Plan::default() };
        let split = Split::make(&table, &plan.split_options()).unwrap();
        let evaluated = evaluate(&table, &split, &plan, &silent).unwrap();
        Arc::new(saved_model("table", &table, &plan, evaluated).unwrap())
    };
    Arc::clone(MODEL.get_or_init(build))
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("lapwing-predict-{}-{name}", std::process::id()))
}

fn row(bytes: Json, rate: Json, proto: Json) -> Map<String, Json> {
    let row = json!({"bytes": bytes, "rate": rate, "proto": proto});
    row.as_object().unwrap().clone()
}

#[test]
fn a_saved_model_gives_the_same_predictions() {
    let (model, path) = (model(), scratch("model"));
    model.save(&path).unwrap();
    let loaded = Model::load(&path).unwrap();
    let table = table();
    assert_eq!(loaded.predict(&table, false).unwrap(), model.predict(&table, false).unwrap());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn damaged_foreign_and_newer_model_files_are_rejected_with_a_reason() {
    let path = scratch("bad");
    model().save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Model::load(&path).err().unwrap().to_string()
    };
    assert!(error(b"").contains("no model"));
    assert!(error(b"PK\x03\x04 something else").contains("`lapwing-lab evaluate --save`"));
    assert!(error(&good[..good.len() - 1]).contains("its digest differs"));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(error(&flipped).contains("its digest differs"));
    let newer = String::from_utf8_lossy(&good[..16]).replace("model 2", "model 9").into_bytes();
    assert!(error(&[&newer[..], &good[16..]].concat()).contains("format version 9"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn predictions_have_kinds_and_the_most_suspicious_feature_first() {
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
fn invalid_rows_are_reported_with_row_column_and_expected_value() {
    let model = model();
    let good = row(json!(1), json!(2), json!("tcp"));
    let error = |bad: Map<String, Json>| json_table(&model, &[good.clone(), bad]).err().unwrap().to_string();
    let mut less = good.clone();
    less.remove("rate");
    assert_eq!(error(less), "row 2, column rate: found nothing, expected a number, or null where it is missing");
    let text = row(json!("many"), json!(2), json!("tcp"));
    assert_eq!(
        error(text),
        "row 2, column bytes: found the text \"many\", expected a number, or null where it is missing"
    );
    let number = row(json!(1), json!(2), json!(6));
    assert!(error(number).contains("column proto: found the number 6, expected a text"));
    let mut more = good.clone();
    more.insert("byte".into(), json!(1));
    assert!(error(more).contains("column byte: found a column that the model does not know"));
    assert!(json_table(&model, &[row(Json::Null, Json::Null, Json::Null)]).is_ok());
}

#[test]
fn csv_columns_are_matched_by_name_and_a_missing_one_is_reported() {
    let (model, path) = (model(), scratch("rows.csv"));
    std::fs::write(&path, "extra,proto,rate,bytes\n9,tcp,0.5,930\n9,udp,0.5,20\n").unwrap();
    let predictions = model.predict(&csv_table(&model, &path).unwrap(), false).unwrap();
    assert_eq!(predictions.iter().map(|prediction| prediction.attack).collect::<Vec<_>>(), [true, false]);
    std::fs::write(&path, "proto,rate\ntcp,0.5\n").unwrap();
    assert!(csv_table(&model, &path).err().unwrap().to_string().contains("bytes"));
    std::fs::write(&path, "proto,rate,bytes\ntcp,0.5,1\ntcp,0.5,lots\n").unwrap();
    let error = csv_table(&model, &path).err().unwrap().to_string();
    assert!(error.contains("column bytes") && error.contains("lots"), "{error}");
    std::fs::remove_file(path).unwrap();
}

fn start(limits: ApiLimits) -> WebServer {
    let site = Site { model: Some(model()), limits, ..Site::default() };
    WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap()
}

#[test]
fn every_response_matches_the_openapi_document() {
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
fn responses_that_violate_the_openapi_document_fail_the_check() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let wrong = |body: Json| documented(&document, "/api/v1/predict", "post", &(200, body)).unwrap_err();
    assert!(wrong(json!({"threshold": 1.0, "predictions": []})).contains("data_sha256 is missing"));
    assert!(wrong(json!({"threshold": "high", "data_sha256": "", "predictions": []})).contains("threshold"));
    assert!(
        wrong(json!({"threshold": 1.0, "data_sha256": "", "predictions": [{"row": 1}]})).contains("predictions[0]")
    );
    assert!(documented(&document, "/api/v1/predict", "post", &(418, json!({}))).is_err());
}

#[test]
fn schema_errors_and_exceeded_limits_are_reported() {
    let server = start(ApiLimits { body_bytes: 200, ..ApiLimits::default() });
    let odd = json!({"rows": [{"bytes": 1, "rate": 1, "proto": "tcp"}, {"bytes": 1, "rate": [], "proto": "tcp"}]});
    let (status, body) = ask(server.address, "POST", "/api/v1/predict", &odd.to_string());
    assert_eq!(status, 422);
    assert_eq!(
        (body["code"].as_str(), body["row"].as_u64(), body["column"].as_str()),
        (Some("schema"), Some(2), Some("rate"))
    );
    assert_eq!(body["found"], "a list");
    let (status, body) = ask(server.address, "POST", "/api/v1/predict", &" ".repeat(201));
    assert_eq!((status, body["code"].as_str()), (413, Some("too-large")));
    server.stop().unwrap();
    let server = start(ApiLimits { at_once: 0, ..ApiLimits::default() });
    let (status, body) = ask(server.address, "POST", "/api/v1/predict", "{\"rows\": []}");
    assert_eq!((status, body["code"].as_str()), (503, Some("busy")));
    server.stop().unwrap();
}
