//! Files for `wasmplugin test`: requests to plugins, and what is to come of them.
//!
//! Everything that is expected remembers where it stands, so that whoever expected it is led there
//! when it is not so.

use super::decode::{Field, Fields};
use super::defaults::request::{AUTHORITY, METHOD, PATH, SCHEME, STATUS};
use super::document::{self, Source, Value};
use super::fields::CASES_KIND;
use super::problem::{Position, Problems};
use super::report::Report;
use std::collections::BTreeMap;

/// A file of cases.
#[derive(Clone, Debug)]
pub struct Cases {
    /// Files of resources, relative to this one.
    pub plugins: Vec<String>,
    /// Files that run in place of what resources name, relative to this one.
    pub modules: BTreeMap<String, String>,
    /// The cases, in their order.
    pub cases: Vec<Case>,
}

/// A request, and what is to come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// Where it begins.
    pub position: Position,
    /// What the client sends.
    pub request: Message,
    /// What the upstream answers.
    pub response: Message,
    /// What is to come of it.
    pub expect: Expectations,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The headers, those of HTTP/2 that begin with a colon first.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// Something that is expected.
#[derive(Clone, Debug)]
pub struct Expected<T> {
    /// What.
    pub value: T,
    /// The field that says so.
    pub field: String,
    /// Where it stands.
    pub position: Position,
}

/// What is to come of a request.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// What the upstream gets.
    pub upstream: Option<Parts>,
    /// What the client gets.
    pub client: Option<Parts>,
    /// Whether a plugin answers.
    pub answered: Option<Expected<bool>>,
    /// What is logged.
    pub logs: Vec<Expected<String>>,
}

/// Parts of a message that are expected.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The message itself: that there is one.
    pub whole: Expected<()>,
    /// Headers with their values, and those that are not to be there.
    pub headers: Vec<(String, Expected<Option<String>>)>,
    /// The body.
    pub body: Option<Expected<String>>,
}

/// Reads a file of cases.
///
/// # Errors
///
/// All that is wrong in it.
pub fn cases(text: &str, file: &str) -> Result<Cases, Problems> {
    let mut report = Report::of_file(file);
    let mut documents = document::parse(text, Source::File, &mut report).into_iter();
    let first = documents.next();
    if first.is_none() && report.len() == 0 {
        report.text(Source::File, None, "holds no cases");
    }
    if let Some(second) = documents.next() {
        let message = "one document is wanted, this is a second one";
        report.text(Source::File, Some(second.node.mark), message);
    }
    let cases = first.and_then(|first| {
        let root = Field::new("", &first.node, &CASES_KIND);
        whole(root.object(&mut report)?, &mut report)
    });
    match cases {
        Some(cases) if report.len() == 0 => Ok(cases),
        _ => Err(report.finish()),
    }
}

fn whole(mut fields: Fields<'_>, report: &mut Report) -> Option<Cases> {
    let plugins = fields.take("plugins", report).and_then(|f| f.list(report));
    let plugins = plugins.map(|paths| texts(paths, report));
    let modules = fields
        .take("modules", report)
        .and_then(|f| f.labels(report));
    let cases = fields.take("cases", report).and_then(|f| f.list(report));
    let cases: Vec<_> = cases
        .unwrap_or_default()
        .iter()
        .filter_map(|field| case(field, report))
        .collect();
    fields.finish(report);
    Some(Cases {
        plugins: plugins?,
        modules: modules.unwrap_or_default(),
        cases,
    })
}

fn case(field: &Field<'_>, report: &mut Report) -> Option<Case> {
    let mut fields = field.object(report)?;
    let name = text(&mut fields, "name", report);
    let sent = fields.take("request", report);
    let sent = sent.and_then(|field| request(&field, report));
    let answer = fields.take("response", report);
    let answer = answer.and_then(|field| response(&field, report));
    let expect = fields.take("expect", report);
    let expect = expect.and_then(|field| expectations(&field, report));
    fields.finish(report);
    Some(Case {
        name: name?,
        position: report.position(field.node.mark),
        request: sent.unwrap_or_else(|| request_of(None, None, None)),
        response: answer.unwrap_or_else(|| response_of(None)),
        expect: expect?,
    })
}

fn request(field: &Field<'_>, report: &mut Report) -> Option<Message> {
    let mut fields = field.object(report)?;
    let method = text(&mut fields, "method", report);
    let path = text(&mut fields, "path", report);
    let authority = text(&mut fields, "authority", report);
    let mut message = request_of(method, path, authority);
    fill(&mut message, &mut fields, report);
    fields.finish(report);
    Some(message)
}

fn request_of(method: Option<String>, path: Option<String>, authority: Option<String>) -> Message {
    let header = |name: &str, value: Option<String>, preset: &str| {
        let value = value.unwrap_or_else(|| preset.to_owned());
        (name.to_owned(), value)
    };
    Message {
        headers: vec![
            header(":method", method, METHOD),
            header(":scheme", None, SCHEME),
            header(":path", path, PATH),
            header(":authority", authority, AUTHORITY),
        ],
        body: String::new(),
    }
}

fn response(field: &Field<'_>, report: &mut Report) -> Option<Message> {
    let mut fields = field.object(report)?;
    let status = fields.take("status", report).and_then(|f| f.int(report));
    let mut message = response_of(status);
    fill(&mut message, &mut fields, report);
    fields.finish(report);
    Some(message)
}

fn response_of(status: Option<u64>) -> Message {
    let status = status.unwrap_or(STATUS).to_string();
    Message {
        headers: vec![(":status".to_owned(), status)],
        body: String::new(),
    }
}

/// Reads headers and body.
fn fill(message: &mut Message, fields: &mut Fields<'_>, report: &mut Report) {
    let headers = fields
        .take("headers", report)
        .and_then(|f| f.labels(report));
    let headers = headers.unwrap_or_default().into_iter();
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value));
    message.headers.extend(headers);
    message.body = text(fields, "body", report).unwrap_or_default();
}

fn expectations(field: &Field<'_>, report: &mut Report) -> Option<Expectations> {
    let mut fields = field.object(report)?;
    let upstream = fields.take("upstream", report);
    let upstream = upstream.and_then(|field| parts(&field, false, report));
    let client = fields.take("client", report);
    let client = client.and_then(|field| parts(&field, true, report));
    let answered = fields.take("answered", report);
    let answered = answered.and_then(|field| {
        let value = field.boolean(report)?;
        Some(expected(&field, value, report))
    });
    let logs = fields.take("logs", report).and_then(|f| f.list(report));
    let logs = logs.unwrap_or_default();
    let logs = logs.iter().filter_map(|field| {
        let value = field.text(report)?.to_owned();
        Some(expected(field, value, report))
    });
    let logs = logs.collect();
    fields.finish(report);
    Some(Expectations {
        upstream,
        client,
        answered,
        logs,
    })
}

fn parts(field: &Field<'_>, has_status: bool, report: &mut Report) -> Option<Parts> {
    let mut fields = field.object(report)?;
    let mut headers = Vec::new();
    if has_status && let Some(field) = fields.take("status", report) {
        let status: Option<u64> = field.int(report);
        let status = status.map(|status| status.to_string());
        headers.push((":status".to_owned(), expected(&field, status, report)));
    }
    if let Some(map) = fields.take("headers", report) {
        for (entry, field) in map.entries(report).unwrap_or_default() {
            let value = match field.node.value {
                Value::Null => None,
                _ => field.text(report).map(str::to_owned),
            };
            let name = entry.name.to_ascii_lowercase();
            headers.push((name, expected(&field, value, report)));
        }
    }
    let body = fields.take("body", report).and_then(|field| {
        let value = field.text(report)?.to_owned();
        Some(expected(&field, value, report))
    });
    fields.finish(report);
    Some(Parts {
        whole: expected(field, (), report),
        headers,
        body,
    })
}

fn expected<T>(field: &Field<'_>, value: T, report: &Report) -> Expected<T> {
    Expected {
        value,
        field: field.path.clone(),
        position: report.position(field.node.mark),
    }
}

fn texts(fields: Vec<Field<'_>>, report: &mut Report) -> Vec<String> {
    let texts = fields.iter().filter_map(|field| field.text(report));
    texts.map(str::to_owned).collect()
}

fn text(fields: &mut Fields<'_>, name: &str, report: &mut Report) -> Option<String> {
    fields.take(name, report)?.text(report).map(str::to_owned)
}
