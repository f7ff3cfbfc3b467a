//! What files for `wasmplugin test` say.

use super::super::defaults::request;
use super::super::shape::{FieldShape, Kind, Preset, Shape, TEXT, field, formed, text};
use super::{PATH, RESOURCE};

pub(in super::super) static CASES_KIND: Kind = Kind::Object(&CASES);

/// The most cases of a file.
const MOST: usize = 10_000;

static PATHS: Kind = formed(&PATH);

pub(in super::super) static CASES: Shape = Shape {
    name: "Cases",
    doc: "A file for `wasmplugin test`: plugins, requests, and what is to come of them. Its name ends \
          in `.test.yaml`. The cases run one after the other on one instance of each plugin.",
    fields: &[
        field(
            "plugins",
            Kind::List(&PATHS, MOST),
            "Files of resources, found from where this file is. Selectors and `match` do not count: \
             requests meet all of their plugins.",
        )
        .required(),
        field(
            "modules",
            Kind::Map(&PATHS, Some(&RESOURCE)),
            "Files that run in place of what `url` names, by resource (`<namespace>/<name>`), found \
             from where this file is.",
        ),
        field("cases", Kind::List(&CASE_KIND, MOST), "The cases.").required(),
    ],
    rules: &[],
};

static CASE_KIND: Kind = Kind::Object(&Shape {
    name: "Case",
    doc: "A request, and what is to come of it.",
    fields: &[
        field("name", text(1..=200), "What it is about.").required(),
        field("request", Kind::Object(&REQUEST), "What the client sends."),
        field(
            "response",
            Kind::Object(&RESPONSE),
            "What the upstream answers, if the request gets there.",
        ),
        field("expect", Kind::Object(&EXPECT), "What is to come of it.").required(),
    ],
    rules: &[],
});

static REQUEST: Shape = Shape {
    name: "Request",
    doc: "A request.",
    fields: &[
        field("method", text(1..=100), "The method.").or(Preset::Text(request::METHOD)),
        field("path", text(1..=8192), "The path, and the query.").or(Preset::Text(request::PATH)),
        field("authority", text(1..=8192), "The host.").or(Preset::Text(request::AUTHORITY)),
        HEADERS,
        BODY,
    ],
    rules: &[],
};

static RESPONSE: Shape = Shape {
    name: "Response",
    doc: "A response.",
    fields: &[
        field("status", Kind::Whole(200..=599), "The status.").or(Preset::Number(request::STATUS)),
        HEADERS,
        BODY,
    ],
    rules: &[],
};

const HEADERS: FieldShape = field("headers", Kind::Map(&TEXT, None), "Headers by name.");

const BODY: FieldShape = field("body", TEXT, "The body.").or(Preset::Words("none"));

const WANTED_HEADERS: FieldShape = field(
    "headers",
    Kind::Map(&TEXT, None),
    "Headers by name, `:path` and the like too; of several values, all of them with `, ` between. \
     `null` stands for a header that is not to be there.",
);

const WANTED_BODY: FieldShape = field("body", TEXT, "The whole body.");

static EXPECT: Shape = Shape {
    name: "Expectations",
    doc: "What is to come of a request. What is not written is not looked at.",
    fields: &[
        field(
            "upstream",
            Kind::Object(&MESSAGE),
            "The request as the upstream gets it.",
        ),
        field(
            "client",
            Kind::Object(&ANSWER),
            "The response as the client gets it.",
        ),
        field(
            "answered",
            Kind::Boolean,
            "Whether a plugin answers, so that the upstream gets nothing.",
        ),
        field(
            "logs",
            Kind::List(&TEXT, MOST),
            "Texts, each of which a line of the log holds.",
        ),
    ],
    rules: &[],
};

static MESSAGE: Shape = Shape {
    name: "Message",
    doc: "Parts of a message.",
    fields: &[WANTED_HEADERS, WANTED_BODY],
    rules: &[],
};

static ANSWER: Shape = Shape {
    name: "Answer",
    doc: "Parts of a response.",
    fields: &[
        field("status", Kind::Whole(100..=599), "The status."),
        WANTED_HEADERS,
        WANTED_BODY,
    ],
    rules: &[],
};
