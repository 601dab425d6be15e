//! Reading of valid and invalid files.

use super::*;
use crate::column::Column;
use crate::formats::{Attempted, Others, Schema};
use crate::table::Repairs;
use std::io::Write;

/// A temporary folder, removed when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lapwing-tables-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn schema() -> Format {
    let name = |name: &str| Some(name.to_owned());
    Format::Table(Box::new(Schema {
        label: name("class"),
        numbers: vec!["a".into(), "b".into()],
        categories: vec!["proto".into()],
        ..Schema::default()
    }))
}

fn one(path: &Path, format: Format) -> Result<Table, TableError> {
    read(&[path.to_owned()], &[], &ReadOptions::new(format), &mut |_| {})
}

fn dropping(path: &Path, format: Format) -> Result<Table, TableError> {
    let options = ReadOptions { bad_rows: BadRows::Drop, ..ReadOptions::new(format) };
    read(&[path.to_owned()], &[], &options, &mut |_| {})
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn numbers<'a>(table: &'a Table, name: &str) -> &'a [f32] {
    table.column(name).unwrap().values.numbers().unwrap()
}

#[test]
fn every_encoding_of_a_table_gives_the_same_rows() {
    let folder = Folder::new("ways");
    let plain = "a,b,proto,class\n1,2,tcp,normal\n3,4,udp,flood\n";
    let files = [
        folder.file("plain.csv", plain),
        folder.file("bom.csv", format!("\u{feff}{plain}")),
        folder.file("crlf.csv", plain.replace('\n', "\r\n")),
        folder.file("no-end.csv", plain.trim_end()),
        folder.file("semicolon.csv", plain.replace(',', ";")),
        folder.file("tab.txt", plain.replace(',', "\t")),
        folder.file("quotes.csv", "\"a\",\"b\",\"proto\",\"class\"\n\"1\",2,\"tcp\",\"normal\"\n3,\"4\",udp,flood\n"),
        folder.file("order.csv", "class, proto ,b,a\nnormal,tcp,2,1\n flood,udp , 4,3 \n"),
        folder.file("empty-lines.csv", plain.replace("\n3", "\n\n\n3")),
        folder.file("packed.csv.gz", gzip(plain.as_bytes())),
        folder.file("padded.csv.gz", [gzip(plain.as_bytes()), vec![0; 700]].concat()),
        folder.file("members.csv.gz", [gzip(&plain.as_bytes()[..20]), gzip(&plain.as_bytes()[20..])].concat()),
    ];
    for path in files {
        let table = one(&path, schema()).unwrap();
        let values: std::collections::HashMap<&str, &Column> =
            table.columns().iter().map(|column| (column.name.as_str(), column)).collect();
        assert_eq!(values["a"].values.numbers().unwrap(), [1.0, 3.0], "{}", path.display());
        assert_eq!(values["b"].values.numbers().unwrap(), [2.0, 4.0], "{}", path.display());
        assert_eq!(table.kinds(), ["benign", "flood"]);
        assert_eq!(table.kind(), [0, 1]);
    }
}

#[test]
fn data_after_a_gzip_member_other_than_zeros_is_rejected() {
    let folder = Folder::new("garbage");
    let path = folder.file("a.csv.gz", [&gzip(b"a,b,proto,class\n1,2,tcp,normal\n")[..], &[0, 0, 7, 7]].concat());
    assert!(one(&path, schema()).is_err());
}

#[test]
fn rows_of_argus_as_in_ctu_13_are_read_with_their_time() {
    let folder = Folder::new("argus");
    let path = folder.file(
        "ctu13.csv",
        "StartTime,Dur,Proto,SrcAddr,Sport,Label\n2011/08/10 09:46:59.607825,1.026539,tcp,192.0.2.127,1577,normal\n\
         2011/08/10 09:47:03.100000,0.000000,icmp,192.0.2.9,0x0303,flood\n",
    );
    let text =
        "label='Label'\nnumbers=['Dur']\ncategories=['Proto']\nignore=['Sport']\nsource='SrcAddr'\ntime='StartTime'\n";
    let schema = Schema::load(&folder.file("s.toml", text)).unwrap();
    let table = one(&path, Format::Table(Box::new(schema))).unwrap();
    assert_eq!(table.times().unwrap(), [1_312_969_619.607_825, 1_312_969_623.1]);
    assert_eq!(table.days().unwrap().of(1), "2011-08-10");
}

#[test]
fn several_files_make_one_table_with_a_common_digest() {
    let folder = Folder::new("several");
    folder.file("2.csv", "b,a,proto,class\n4,3,udp,flood\n");
    folder.file("1.csv", "a,b,proto,class\n1,2,tcp,normal\n");
    folder.file("notes.md", "not a table");
    let table = one(&folder.path(""), schema()).unwrap();
    assert_eq!(numbers(&table, "a"), [1.0, 3.0]);
    assert_eq!(table.files().iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["1.csv", "2.csv"]);
    assert_eq!(table.origin(1), "2.csv, row 2");
    // `printf 'a,b,proto,class\n1,2,tcp,normal\n' | sha256sum`.
    assert_eq!(table.files()[0].sha256.len(), 64);
    let again = one(&folder.path(""), schema()).unwrap();
    assert_eq!(again.digest(), table.digest());
    folder.file("2.csv", "b,a,proto,class\n4,5,udp,flood\n");
    assert_ne!(one(&folder.path(""), schema()).unwrap().digest(), table.digest());
}

#[test]
fn test_files_are_marked_in_the_table() {
    let folder = Folder::new("parts");
    let train = folder.file("train.csv", "a,b,proto,class\n1,2,tcp,normal\n");
    let test = folder.file("test.csv", "a,b,proto,class\n3,4,udp,flood\n");
    let table = read(&[train], &[test], &ReadOptions::new(schema()), &mut |_| {}).unwrap();
    assert_eq!(table.part(), [0, 1]);
}

#[test]
fn unusable_values_become_missing_and_are_counted() {
    let folder = Folder::new("repairs");
    let path = folder.file("a.csv", "a,b,proto,class\n1,Infinity,tcp,normal\n-,-inf,,flood\nNaN,,udp,flood\n");
    let table = one(&path, schema()).unwrap();
    let repaired = &table.counts().repaired;
    assert_eq!(repaired["a"], Repairs { missing: 2, ..Repairs::default() });
    assert_eq!(repaired["b"], Repairs { infinite: 2, missing: 1, stray: 0 });
    assert_eq!(repaired["proto"], Repairs { missing: 1, ..Repairs::default() });
}

#[test]
fn invalid_files_give_an_error_with_place_and_reason() {
    let folder = Folder::new("bad");
    let wide = (0..1_000_000).map(|at| at.to_string()).collect::<Vec<_>>().join(",");
    let head = "a,b,proto,class\n";
    for (name, content, parts) in [
        ("empty.csv", String::new(), vec!["empty.csv", "an empty file"]),
        ("lines.csv", "\n\n\n".into(), vec!["only empty lines"]),
        ("header.csv", head.into(), vec!["header.csv", "no rows"]),
        ("column.csv", "a,proto,class\n1,tcp,normal\n".into(), vec!["no column `b`", "a, proto, class"]),
        ("text.csv", format!("{head}1,2,tcp,normal\n1,x2,tcp,normal\n"), vec!["row 3, column b", "`x2`", "a number"]),
        ("short.csv", format!("{head}1,2,tcp\n"), vec!["row 2", "3 fields", "4, as in the header"]),
        ("label.csv", format!("{head}1,2,tcp,\n"), vec!["row 2, column class", "a label"]),
        ("twice.csv", "a,a,proto,class\n".into(), vec!["repeated name `a`"]),
        ("more.csv", "a,b,c,proto,class\n".into(), vec!["column `c`", "schema"]),
        ("wide.csv", format!("{wide}\n"), vec!["wide.csv, row 1", "4096 columns"]),
        ("wide-row.csv", format!("{head}{wide}\n"), vec!["row 2", "4096 columns"]),
        ("quote.csv", format!("{head}1,\"{}\n", "x".repeat(3 << 20)), vec!["row 2", "1048576 bytes", "quote"]),
        ("nothing.parquet", "PAR1 but no more".into(), vec!["Parquet that cannot be read"]),
    ] {
        let path = folder.file(name, content);
        let text = one(&path, schema()).unwrap_err().to_string();
        for part in parts {
            assert!(text.contains(part), "{name}: {text}");
        }
    }
    let utf16 = folder.file("wide-letters.csv", [0xff, 0xfe, b'a', 0]);
    assert!(one(&utf16, schema()).unwrap_err().to_string().contains("UTF-16"));
    let torn = folder.file("torn.csv.gz", &gzip(head.repeat(1000).as_bytes())[..30]);
    assert!(one(&torn, schema()).unwrap_err().to_string().contains("torn.csv.gz"));
    assert!(one(&folder.path("absent.csv"), schema()).unwrap_err().to_string().contains("cannot read"));
    let none = Folder::new("bad-none");
    assert!(one(&none.path(""), schema()).unwrap_err().to_string().contains("a folder without tables"));
}

#[test]
fn bad_rows_are_dropped_only_if_configured() {
    let folder = Folder::new("drop");
    let text = "a,b,proto,class\n1,2,tcp,normal\n,,,\na,b,proto,class\n1,x,tcp,normal\n1,2\n3,4,udp,flood\n";
    let path = folder.file("a.csv", text);
    assert!(one(&path, schema()).is_err());
    let table = dropping(&path, schema()).unwrap();
    let dropped: Vec<(&str, u64)> = table.counts().dropped.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    let expected = [("another number of fields", 1), ("blank", 1), ("header once more", 1), ("text in a number", 1)];
    assert_eq!(dropped, expected);
    assert_eq!((table.rows(), table.counts().rows_read), (2, 6));
    let nothing = folder.file("b.csv", "a,b,proto,class\nx,x,tcp,normal\n");
    assert!(dropping(&nothing, schema()).unwrap_err().to_string().contains("1 dropped"));
}

#[test]
fn a_table_over_the_memory_limit_is_rejected() {
    let folder = Folder::new("memory");
    let path = folder.file("a.csv", format!("a,b,proto,class\n{}", "1,2,tcp,normal\n".repeat(40_000)));
    let mut options = ReadOptions::new(schema());
    options.limits.memory_bytes = 1 << 20;
    let error = read(&[path], &[], &options, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("1 MiB") && error.contains("row"), "{error}");
}

#[test]
fn reading_reports_progress() {
    let folder = Folder::new("progress");
    let path = folder.file("a.csv", format!("a,b,proto,class\n{}", "1,2,tcp,normal\n".repeat(40_000)));
    let mut seen = Vec::new();
    read(&[path], &[], &ReadOptions::new(schema()), &mut |p| seen.push((p.bytes_read, p.bytes_total, p.rows))).unwrap();
    let last = seen.last().unwrap();
    assert!(seen.len() >= 3 && last.0 == last.1 && last.2 == 40_000, "{seen:?}");
}

#[test]
fn cic_files_of_both_releases_have_labels_and_days() {
    let folder = Folder::new("cic");
    let published = folder.file(
        "Friday-WorkingHours-Afternoon-DDos.pcap_ISCX.csv",
        b" Destination Port, Flow Duration, Fwd Header Length,Flow Bytes/s, Fwd Header Length, Label\n\
          80,5,20,Infinity,20,BENIGN\n80,6,20,1.5,20,Web Attack \x96 XSS\n,,,,,\n"
            .as_slice(),
    );
    let format = |attempted| Format::CicIds2017 { attempted };
    let table = one(&published, format(Attempted::Benign)).unwrap();
    assert_eq!(table.column_names(), ["Flow Duration", "Fwd Header Length", "Flow Bytes/s", "Fwd Header Length.1"]);
    assert_eq!(table.kinds(), ["benign", "Web Attack - XSS"]);
    assert_eq!(table.days().unwrap().of(0), "friday");
    assert_eq!(table.counts().dropped["blank"], 1);
    let corrected = folder.file(
        "wednesday.csv",
        "id,Flow ID,Src IP,Dst Port,Protocol,Timestamp,Flow Duration,Label,Attempted Category\n\
         1,x,10.0.0.1,80,6,2017-07-05 09:00:00.5,7,BENIGN,-1\n\
         2,y,10.0.0.2,80,6,2017-07-05 10:00:00,8,DoS Hulk - Attempted,2\n",
    );
    let table = one(&corrected, format(Attempted::Attack)).unwrap();
    assert_eq!(table.column_names(), ["Protocol", "Flow Duration"]);
    assert_eq!(table.kinds(), ["benign", "DoS Hulk"]);
    assert_eq!((table.days().unwrap().of(1), table.sources().unwrap().of(0)), ("wednesday", "10.0.0.1"));
    assert_eq!(table.times().unwrap()[0], 1_499_245_200.5);
    assert!(table.counts().left_out["Dst Port"].contains("port"));
    assert_eq!(one(&corrected, format(Attempted::Drop)).unwrap().counts().dropped["attempted attack"], 1);
}

#[test]
fn nsl_rows_need_no_header_and_stray_flags_are_counted() {
    let folder = Folder::new("nsl");
    let row =
        |su: &str, attack: &str| format!("0,tcp,http,SF,{},{su},{}{attack},20\n", ["0"; 10].join(","), "0,".repeat(26));
    let path = folder.file("KDDTrain+.txt", row("2", "normal") + &row("0", "neptune") + &row("1", "nmap"));
    let table = one(&path, Format::NslKdd).unwrap();
    assert_eq!((table.rows(), table.columns().len()), (3, 41));
    assert_eq!(table.kinds(), ["benign", "dos", "probe"]);
    assert_eq!(table.details().unwrap().of(1), "neptune");
    assert_eq!(numbers(&table, "su_attempted"), [1.0, 0.0, 1.0]);
    assert_eq!(table.counts().repaired["su_attempted"].stray, 1);
    assert_eq!(table.origin(0), "KDDTrain+.txt, row 1");
}

const ZEEK: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
    #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\t\
    conn_state\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents";
const ZEEK_ROW: &str = "1538478769.5\tCx\t10.0.0.1\t99\t10.0.0.2\t53\tudp\tdns\t-\t78\t0\tS0\t0\tD\t2\t134\t0\t0\t";

#[test]
fn zeek_logs_are_read_as_tsv_with_and_without_labels_and_as_json() {
    let folder = Folder::new("zeek");
    let plain = folder.file("conn.log", format!("{ZEEK}\n#types\ttime\n{ZEEK_ROW}(empty)\n#close\t2018\n"));
    let table = one(&plain, Format::ZeekConn).unwrap();
    assert!(!table.labelled());
    assert_eq!((table.rows(), table.origin(0).as_str()), (1, "conn.log, row 8"));
    assert_eq!(table.counts().repaired["duration"].missing, 1);
    let labelled = folder.file(
        "conn.log.labeled",
        format!("{ZEEK}   label   detailed-label\n{ZEEK_ROW}(empty)   Malicious   C&C\n{ZEEK_ROW}-   Benign   -\n"),
    );
    let table = one(&labelled, Format::ZeekConn).unwrap();
    assert!(table.labelled());
    assert_eq!(table.kinds(), ["benign", "C&C"]);
    assert_eq!(table.kind(), [1, 0]);
    assert_eq!(table.days().unwrap().of(0), "2018-10-02");
    let json = folder.file(
        "conn.json",
        "{\"ts\":1538478769.5,\"id.orig_h\":\"10.0.0.1\",\"proto\":\"udp\",\"service\":\"dns\",\"orig_bytes\":78,\
         \"conn_state\":\"S0\",\"orig_pkts\":2}\n",
    );
    let table = one(&json, Format::ZeekConn).unwrap();
    assert!(!table.labelled());
    assert_eq!(numbers(&table, "orig_bytes"), [78.0]);
    let broken = folder.file("broken.json", "{\"ts\":1,\n");
    assert!(one(&broken, Format::ZeekConn).unwrap_err().to_string().contains("row 1"));
}

#[test]
fn unsw_raw_files_are_read_without_header() {
    let folder = Folder::new("unsw");
    let raw = (0..3)
        .map(|at| {
            let label = ["Normal,0", " Fuzzers ,1", ",0"][at];
            format!(
                "59.0.0.1,0x1f,10.0.0.1,53,udp,CON,0.1,{}-,{}1421927414,1421927415,{}{label}\n",
                "1,".repeat(6),
                "2,".repeat(14),
                "3,".repeat(17)
            )
        })
        .collect::<String>();
    let path = folder.file("UNSW-NB15_1.csv", raw);
    let table = one(&path, Format::UnswNb15).unwrap();
    assert_eq!((table.rows(), table.columns().len()), (3, 41));
    assert_eq!(table.kinds(), ["benign", "Fuzzers"]);
    assert_eq!(table.days().unwrap().of(0), "2015-01-22");
    assert_eq!(table.column("service").unwrap().name, "service");
}

#[test]
fn an_invalid_schema_is_rejected_and_a_valid_one_read() {
    let folder = Folder::new("schema");
    let load = |text: &str| Schema::load(&folder.file("s.toml", text));
    assert!(load("numbers = ['a']\nlabel = 'a'\n").unwrap_err().to_string().contains("`a` as both"));
    assert!(load("numbrs = ['a']\n").unwrap_err().to_string().contains("numbrs"));
    assert!(load("label = 'a'\n").unwrap_err().to_string().contains("no feature"));
    let schema =
        load("label='class'\nbenign=['ok']\nkinds=['bad']\nnumbers=['n']\nothers='ignore'\ngroup='dev'\n").unwrap();
    assert_eq!(schema.others, Others::Ignore);
    let path = folder.file("t.csv", "n,x,dev,class\n1,z,cam,ok\n2,z,plug,bad\n");
    let table = one(&path, Format::Table(Box::new(schema.clone()))).unwrap();
    assert_eq!(table.groups().unwrap().of(1), "plug");
    assert!(table.counts().left_out.contains_key("x"));
    let unknown = folder.file("u.csv", "n,x,dev,class\n1,z,cam,ok\n2,z,plug,odd\n");
    let text = one(&unknown, Format::Table(Box::new(schema))).unwrap_err().to_string();
    assert!(text.contains("row 3, column class") && text.contains("`odd`") && text.contains("bad"), "{text}");
}

#[test]
fn a_table_round_trips_through_csv_and_parquet() {
    let folder = Folder::new("written");
    let path = folder.file(
        "monday.csv",
        "Src IP,Protocol,Timestamp,Flow Duration,Flow Bytes/s,label\n10.0.0.1,6,2017-07-03 09:00:00.25,0.1,1e30,BENIGN\n\
         10.0.0.2,17,2017-07-03 10:00:00,3,Infinity,\"DoS Hulk\"\n",
    );
    let options = ReadOptions::new(Format::CicIds2017 { attempted: Attempted::Benign });
    let renamed = std::fs::read_to_string(&path).unwrap().replace(",label", ",Label");
    let path = folder.file("monday.csv", renamed);
    let table = read(&[path], &[], &options, &mut |_| {}).unwrap();
    for name in ["out.csv", "out.parquet"] {
        let out = folder.path(name);
        table.write(&out).unwrap();
        let schema = Schema::load(&folder.path(&format!("{name}.schema.toml"))).unwrap();
        let back = one(&out, Format::Table(Box::new(schema))).unwrap();
        assert_eq!(back.keys(), table.keys(), "{name}");
        assert_eq!(back.column_names(), table.column_names());
        assert_eq!((back.kinds(), back.kind()), (table.kinds(), table.kind()));
        assert_eq!((back.times(), back.days(), back.sources()), (table.times(), table.days(), table.sources()));
    }
}

#[test]
fn a_summary_counts_repeats_contradictions_and_constants() {
    let folder = Folder::new("summary");
    let text = "a,b,proto,class\n1,7,tcp,normal\n1,7,tcp,flood\n2,7,udp,normal\n2,7,udp,normal\n-,7,udp,scan\n";
    let table = one(&folder.file("a.csv", text), schema()).unwrap();
    let summary = table.summary();
    let kinds = [("benign".to_owned(), 3), ("flood".to_owned(), 1), ("scan".to_owned(), 1)];
    assert_eq!(summary.kinds, kinds);
    assert_eq!((summary.repeats, summary.contradictions), (2, 1));
    assert_eq!(summary.constant, ["b"]);
    let number = crate::ColumnSummary::Number {
        name: "a".into(),
        min: Some(1.0),
        median: Some(1.5),
        max: Some(2.0),
        missing: 1,
    };
    assert_eq!(summary.columns[0], number);
}
