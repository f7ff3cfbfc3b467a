//! Plugins that cannot run, and the end of streams.

use super::envoy::Envoy;
use super::play;
use crate::proxy_wasm::Direction;

#[test]
fn streams_go_on_without_a_plugin_that_is_skipped() {
    play(&[
        (
            "from the start",
            &["", "o,skip", ""],
            &[
                ("h b=a. H.", "A:h C:h >h A:b=a. C:b=a. >b=a. C:H. A:H. <H."),
                ("end", "A:log C:log A:delete C:delete"),
            ],
        ),
        (
            "at headers",
            &["h,h+a,skip", ""],
            &[
                ("h b=a. H.", "A:h B:h route >h{a} B:b=a. >b=a. B:H. <H."),
                ("end", "B:log B:delete"),
            ],
        ),
        (
            "at the body, with what it held",
            &["b1 b,skip", ""],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab buffer"),
                ("b=cd", "A:b=abcd B:b=abcd >b=abcd"),
                ("b=e.", "B:b=e. >b=e."),
            ],
        ),
        (
            "… unseen",
            &["b2 b,skip", ""],
            &[(
                "h b=ab b=cd.",
                "A:h B:h >h A:b=ab watermark A:b=cd. B:b=abcd. >b=abcd.",
            )],
        ),
        (
            "… and headers",
            &["hold h1 b1 b,skip", ""],
            &[(
                "h b=ab b=cd.",
                "A:h hold A:b=ab buffer A:b=abcd. B:h B:b=abcd. >h >b=abcd.",
            )],
        ),
        (
            "at trailers",
            &["b1 t,skip", ""],
            &[(
                "h b=ab t",
                "A:h B:h >h A:b=ab buffer A:t B:b=ab B:t >b=ab >t",
            )],
        ),
        (
            "when resumed",
            &["h1 b,skip", ""],
            &[
                ("h b=ab.", "A:h hold watermark"),
                ("go:A", "B:h A:b=ab. B:b=ab. go >h >b=ab."),
            ],
        ),
        (
            "in the response",
            &["", "H,skip", "B1 B,skip"],
            &[
                ("h. H", "A:h. B:h. C:h. >h. C:H B:H A:H <H"),
                ("B=x", "C:B=x buffer"),
                ("B=y T", "C:B=xy A:B=xy <B=xy A:T <T"),
            ],
        ),
        (
            "in the response, while it holds the request",
            &["h1 H,skip", ""],
            &[
                ("h b=ab", "A:h hold watermark"),
                ("H.", "A:H. B:h B:b=ab <H. go >h >b=ab"),
                ("b=c.", "B:b=c. >b=c."),
            ],
        ),
        (
            "in the request, while it holds the response",
            &["", "B1 b,skip"],
            &[
                ("h H B=x.", "A:h B:h >h B:H A:H <H B:B=x. buffer"),
                ("b=a.", "A:b=a. B:b=a. A:B=x. >b=a. GO <B=x."),
            ],
        ),
        (
            "what it asked for does not happen",
            &["h,reply=403,skip"],
            &[("h.", "A:h. >h.")],
        ),
        (
            "while a reply passes",
            &["H,skip", "h0,reply=403:no"],
            &[("h.", "A:h. B:h. B:H403 A:H403 B:B=no. hold reply=403:no")],
        ),
    ]);
}

#[test]
fn streams_are_refused_for_a_plugin_that_must_run() {
    play(&[
        (
            "from the start",
            &["", "o,refuse", ""],
            &[
                ("h b=a.", "A:h A:H503. hold reply=503/down drop"),
                ("end", "A:log C:log A:delete C:delete"),
            ],
        ),
        (
            "at headers",
            &["", "h,refuse", ""],
            &[
                ("h.", "A:h. B:h. A:H503. hold reply=503/down"),
                ("end", "A:log C:log A:delete C:delete"),
            ],
        ),
        (
            "at the body, holding some",
            &["", "b1 b,refuse", ""],
            &[(
                "h b=a b=b.",
                "A:h B:h C:h >h A:b=a B:b=a buffer A:b=b. B:b=ab. C:H503. A:H503. drop reply=503/down",
            )],
        ),
        (
            "at trailers",
            &["t,refuse", ""],
            &[("h t", "A:h B:h >h A:t B:H503. hold reply=503/down")],
        ),
        (
            "when resumed",
            &["h1 b,refuse", ""],
            &[
                ("h b=a.", "A:h hold watermark"),
                ("go:A", "B:h A:b=a. B:H503. reply=503/down"),
            ],
        ),
        (
            "at response headers",
            &["", "H,refuse"],
            &[
                ("h. H", "A:h. B:h. >h. B:H hold reply=503/down"),
                ("end", "A:log A:delete"),
            ],
        ),
        (
            "after response headers",
            &["", "B,refuse"],
            &[(
                "h. H B=x",
                "A:h. B:h. >h. B:H A:H <H B:B=x drop reply=503/down cut",
            )],
        ),
        (
            "while a reply passes",
            &["H,refuse", "h0,reply=403:no"],
            &[("h.", "A:h. B:h. B:H403 A:H403 hold reply=503/down")],
        ),
    ]);
}

#[test]
fn a_stream_ends_once() {
    play(&[
        (
            "log for all, then delete for all; those not reached see it, too",
            &["life", "life h1", "life"],
            &[
                ("h.", "A:open A:h. B:open B:h. hold"),
                ("end", "A:log B:log C:open C:log A:delete B:delete C:delete"),
                ("end", ""),
            ],
        ),
        (
            "before anything came to plugins",
            &["life", "life"],
            &[("end", "A:open A:log B:open B:log A:delete B:delete")],
        ),
        (
            "a plugin that cannot even see the end",
            &["", "o,skip", "o,refuse"],
            &[("end", "A:log A:delete")],
        ),
        (
            "nothing is done for those who ask too late",
            &["h1 l,reply=403,go,GO,close d,reply=403,close"],
            &[("h b=a.", "A:h hold watermark"), ("end", "A:log A:delete")],
        ),
        (
            "nor in a context that is made for the end",
            &["o,reply=403,close l,reply=403"],
            &[("end", "A:log A:delete")],
        ),
        (
            "nor resumed",
            &["h1 b1", "life", ""],
            &[
                ("h b=a.", "A:h hold watermark"),
                ("end", "A:log B:open B:log C:log A:delete B:delete C:delete"),
                ("go:A GO:A", ""),
            ],
        ),
        (
            "nor reached by events that come nevertheless",
            &[""],
            &[
                ("h", "A:h >h"),
                ("end", "A:log A:delete"),
                ("b=a. t", "drop hold"),
            ],
        ),
    ]);
}

#[test]
fn effects_end_with_the_stream() {
    // As it is when the first of several effects ends the stream.
    let mut envoy = Envoy::new(&["h1"]);
    assert_eq!(envoy.step("h."), "A:h. hold");
    envoy.stream.resume(Direction::Request, 0);
    envoy.complete();
}

#[test]
fn what_a_failed_instance_held_is_refused_or_goes_on() {
    play(&[
        (
            "request headers, refused",
            &["h1", ""],
            &[
                ("h.", "A:h. hold"),
                ("gone:A", "reply=503/down"),
                ("end", "B:log B:delete"),
            ],
        ),
        (
            "request headers, skipped",
            &["open h1", ""],
            &[
                ("h b=ab.", "A:h hold watermark"),
                ("gone:A", "B:h B:b=ab. go >h >b=ab."),
            ],
        ),
        (
            "a body, skipped",
            &["open b1", ""],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab buffer"),
                ("gone:A", "B:b=ab go >b=ab"),
            ],
        ),
        (
            "a response, refused",
            &["", "H1"],
            &[
                ("h. H.", "A:h. B:h. >h. B:H. hold"),
                ("gone:B", "reply=503/down"),
            ],
        ),
        (
            "nothing: it is told of at its next event",
            &["", "h1"],
            &[("h.", "A:h. B:h. hold"), ("gone:A", ""), ("go:B", "go >h.")],
        ),
    ]);
}
