//! Local replies and resets.

use super::play;

#[test]
fn a_reply_to_a_request_passes_the_plugins_that_were_reached() {
    play(&[
        (
            "at headers",
            &["", "h0,reply=403:no:x", ""],
            &[
                (
                    "h",
                    "A:h B:h B:H403 A:H403 B:B=no. A:B=no. hold reply=403{x}:no",
                ),
                ("b=ab.", "drop"),
                ("end", "A:log B:log C:log A:delete B:delete C:delete"),
            ],
        ),
        (
            "what the plugin answers does not matter",
            &["h1,reply=403", ""],
            &[("h.", "A:h. A:H403. hold reply=403"), ("go:A GO:A", "")],
        ),
        (
            "at the body",
            &["", "b1 b0,reply=413", ""],
            &[
                ("h b=ab", "A:h B:h C:h >h A:b=ab B:b=ab buffer"),
                (
                    "b=cd.",
                    "A:b=cd. B:b=abcd. C:H413. B:H413. A:H413. drop reply=413",
                ),
            ],
        ),
        (
            "at trailers",
            &["t0,reply=400"],
            &[("h t", "A:h >h A:t A:H400. hold reply=400")],
        ),
        (
            "trailers after a reply",
            &["b0,reply=400"],
            &[
                ("h b=ab", "A:h >h A:b=ab A:H400. drop reply=400"),
                ("t", "hold"),
            ],
        ),
        (
            "from a resumed request",
            &["h1", "h0,reply=403"],
            &[
                ("h b=ab.", "A:h hold watermark"),
                ("go:A", "B:h B:H403. A:H403. reply=403"),
                ("go:A", ""),
            ],
        ),
        (
            "from the body of a resumed request",
            &["h1 b0,reply=403", ""],
            &[
                ("h b=ab t", "A:h hold watermark hold"),
                ("go:A", "B:h A:b=ab B:H403. A:H403. reply=403"),
            ],
        ),
        (
            "trailers do not follow a body that was answered",
            &["b1", "b0,reply=403"],
            &[(
                "h b=ab t",
                "A:h B:h >h A:b=ab buffer A:t B:b=ab B:H403. A:H403. hold reply=403",
            )],
        ),
        (
            "plugins edit it",
            &["H0,H:451,H+a B0,B$ty", "h0,reply=403:nope"],
            &[(
                "h.",
                "A:h. B:h. B:H403 A:H403 B:B=nope. A:B=nope. hold reply=451{a}:nopety",
            )],
        ),
        (
            "a body that is edited away",
            &["B0,B=", "h0,reply=403:nope"],
            &[(
                "h.",
                "A:h. B:h. B:H403 A:H403 B:B=nope. A:B=nope. hold reply=403",
            )],
        ),
        (
            "headers that Envoy makes are not the plugin's",
            &["h0,reply=403::content-length"],
            &[("h.", "A:h. A:H403. hold reply=403")],
        ),
        (
            "nor is the status among the headers",
            &["h0,reply=403:::status"],
            &[("h.", "A:h. A:H403. hold reply=403")],
        ),
        (
            "any status",
            &["h0,reply=999"],
            &[("h.", "A:h. A:H999. hold reply=999")],
        ),
        (
            "held parts of the request are not seen again",
            &["b0 b0,reply=403", "b1"],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab B:b=ab buffer"),
                ("b=cd.", "A:b=cd. B:H403. A:H403. drop reply=403"),
                ("go:B", ""),
            ],
        ),
        (
            "from the making of a context",
            &["", "o,reply=403 deaf:h", ""],
            &[("h.", "A:h. B:H403. A:H403. hold reply=403")],
        ),
        (
            "the route is picked anew once, whatever happens",
            &["h0,h+a,reply=403"],
            &[("h.", "A:h. A:H403. route hold reply=403")],
        ),
    ]);
}

#[test]
fn a_reply_may_be_held() {
    play(&[
        (
            "at its headers",
            &["H1", "h0,reply=403:no"],
            &[
                ("h", "A:h B:h B:H403 A:H403 B:B=no. hold"),
                ("b=ab.", "drop"),
                ("GO:A", "A:B=no. reply=403:no"),
                ("GO:A", ""),
            ],
        ),
        (
            "at its body, and edited there",
            &["", "B1,B$! ", "h0,reply=403:no"],
            &[
                (
                    "h.",
                    "A:h. B:h. C:h. C:H403 B:H403 A:H403 C:B=no. B:B=no. hold",
                ),
                ("GO:B", "A:B=no!. reply=403:no!"),
            ],
        ),
        (
            "at both, by two plugins",
            &["B1", "H1", "h0,reply=403:no"],
            &[
                ("h.", "A:h. B:h. C:h. C:H403 B:H403 C:B=no. hold"),
                ("GO:A", ""),
                ("GO:B", "A:H403 B:B=no. A:B=no."),
                ("GO:A", "reply=403:no"),
            ],
        ),
        (
            "and dropped",
            &["B3", "h0,reply=403:no"],
            &[
                ("h.", "A:h. B:h. B:H403 A:H403 B:B=no. A:B=no. hold"),
                ("GO:A", "reply=403"),
            ],
        ),
        (
            "while held, a plugin replies itself",
            &["B0,reply=500:x", "H1", "h0,reply=403:no"],
            &[
                ("h.", "A:h. B:h. C:h. C:H403 B:H403 C:B=no. hold"),
                ("GO:B", "A:H403 B:B=no. A:B=no. reply=500:x"),
            ],
        ),
        (
            "and is not resumed by who asked before there was one",
            &["h0,GO H1", "h0,reply=403"],
            &[
                ("h.", "A:h. B:h. B:H403. A:H403. hold"),
                ("GO:A", "reply=403"),
            ],
        ),
        (
            "until the stream ends",
            &["H1", "h0,reply=403"],
            &[
                ("h.", "A:h. B:h. B:H403. A:H403. hold"),
                ("end", "A:log B:log A:delete B:delete"),
                ("GO:A", ""),
            ],
        ),
        (
            "until Envoy answers itself, past all plugins",
            &["H1", "h0,reply=403:no"],
            &[
                ("h.", "A:h. B:h. B:H403 A:H403 B:B=no. hold"),
                ("H B=late.", "<H <B=late."),
                ("GO:A", ""),
            ],
        ),
        (
            "with hold-headers",
            &["hold H1 B0,H+late", "h0,reply=403:no"],
            &[(
                "h.",
                "A:h. B:h. B:H403 A:H403 B:B=no. A:B=no. hold reply=403{late}:no",
            )],
        ),
    ]);
}

#[test]
fn a_reply_to_a_response_bypasses_the_plugins() {
    play(&[
        (
            "at headers",
            &["", "H0,reply=502:bad:x", ""],
            &[
                ("h.", "A:h. B:h. C:h. >h."),
                ("H", "C:H B:H hold reply=502{x}:bad"),
                ("B=x.", "<H <B=x."),
            ],
        ),
        (
            "… whose status is not among the headers either",
            &["H0,reply=502:::status"],
            &[("h. H.", "A:h. >h. A:H. hold reply=502")],
        ),
        (
            "while they are paused",
            &["H1 B0,reply=502"],
            &[
                ("h. H B=x.", "A:h. >h. A:H hold watermark"),
                ("GO:A", "A:B=x. reply=502"),
            ],
        ),
        (
            "after they went out",
            &["B0,reply=502", ""],
            &[(
                "h. H B=x",
                "A:h. B:h. >h. B:H A:H <H B:B=x A:B=x drop reply=502 cut",
            )],
        ),
        (
            "at trailers",
            &["T0,reply=502"],
            &[("h. H T", "A:h. >h. A:H <H A:T hold reply=502 cut")],
        ),
        (
            "from a request whose response has begun",
            &["b0,reply=403", ""],
            &[
                ("h H", "A:h B:h >h B:H A:H <H"),
                ("b=ab", "A:b=ab drop reply=403 cut"),
            ],
        ),
        (
            "… and is held",
            &["b0,reply=403", "H1"],
            &[
                ("h H", "A:h B:h >h B:H hold"),
                ("b=ab", "A:b=ab drop reply=403"),
                ("GO:B", ""),
            ],
        ),
        (
            "to a reply that passes: the new one counts",
            &["", "H0,reply=500", "h0,reply=403:no"],
            &[("h.", "A:h. B:h. C:h. C:H403 B:H403 hold reply=500")],
        ),
        (
            "… at its body",
            &["", "B0,reply=500", "h0,reply=403:no"],
            &[(
                "h.",
                "A:h. B:h. C:h. C:H403 B:H403 A:H403 C:B=no. B:B=no. hold reply=500",
            )],
        ),
    ]);
}

#[test]
fn a_plugin_closes_the_stream() {
    play(&[
        (
            "at headers",
            &["", "h0,close", ""],
            &[
                ("h", "A:h B:h hold reset"),
                ("b=ab.", "drop"),
                ("end", "A:log B:log C:log A:delete B:delete C:delete"),
            ],
        ),
        (
            "at the body",
            &["b0,close"],
            &[("h b=a", "A:h >h A:b=a drop reset")],
        ),
        (
            "at trailers",
            &["t1,close"],
            &[("h t", "A:h >h A:t hold reset")],
        ),
        (
            "of a response",
            &["", "H0,close"],
            &[("h. H", "A:h. B:h. >h. B:H hold reset")],
        ),
        (
            "while a reply passes",
            &["H0,close", "h0,reply=403:no"],
            &[("h.", "A:h. B:h. B:H403 A:H403 hold reset")],
        ),
        (
            "with a reply, which counts",
            &["h0,close,reply=403"],
            &[("h.", "A:h. A:H403. hold reply=403")],
        ),
        (
            "from the making of a context",
            &["o,close", ""],
            &[("h.", "hold reset")],
        ),
    ]);
}
