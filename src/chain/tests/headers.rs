//! The order of plugins, and pausing at headers.

use super::play;

#[test]
fn requests_go_forward_and_responses_back() {
    play(&[
        (
            "headers only",
            &["", "", ""],
            &[
                ("h.", "A:h. B:h. C:h. >h."),
                ("H.", "C:H. B:H. A:H. <H."),
                ("end", "A:log B:log C:log A:delete B:delete C:delete"),
            ],
        ),
        (
            "with a body",
            &["", ""],
            &[
                ("h", "A:h B:h >h"),
                ("b=ab", "A:b=ab B:b=ab >b=ab"),
                ("b=.", "A:b=. B:b=. >b=."),
                ("H", "B:H A:H <H"),
                ("B=xy.", "B:B=xy. A:B=xy. <B=xy."),
            ],
        ),
        (
            "with trailers",
            &["", ""],
            &[
                ("h b=ab t", "A:h B:h >h A:b=ab B:b=ab >b=ab A:t B:t >t"),
                ("H B=xy T", "B:H A:H <H B:B=xy A:B=xy <B=xy B:T A:T <T"),
            ],
        ),
        (
            "no plugins at all",
            &[],
            &[("h b=ab. H B=x T", ">h >b=ab. <H <B=x <T"), ("end", "")],
        ),
        (
            "a response before the request is through",
            &["", ""],
            &[
                ("h b=a", "A:h B:h >h A:b=a B:b=a >b=a"),
                ("H.", "B:H. A:H. <H."),
                ("b=b.", "A:b=b. B:b=b. >b=b."),
            ],
        ),
        (
            "callbacks that a plugin does not have",
            &["deaf:hBT", "deaf:bHt"],
            &[
                ("h b=a t", "B:h >h A:b=a >b=a A:t >t"),
                ("H B=x T", "A:H <H B:B=x <B=x B:T <T"),
            ],
        ),
        (
            "changes of headers and trailers go on",
            &["h0,h+a t0,t+a H0,H+a", "h0,h+b H0,H+b,H:201 T0,T+b"],
            &[
                (
                    "h b=- t",
                    "A:h B:h route >h{a,b} A:b=- B:b=- >b=- A:t B:t >t{a}",
                ),
                (
                    "H B=- T",
                    "B:H A:H201 <H{b,a} B:B=- A:B=- <B=- B:T A:T <T{b}",
                ),
            ],
        ),
    ]);
}

#[test]
fn pausing_at_headers_keeps_the_body_back() {
    play(&[
        (
            "1: one body event when resumed",
            &["h1"],
            &[
                ("h", "A:h hold"),
                ("b=ab", "watermark"),
                ("b=cd.", "watermark"),
                ("go:A", "A:b=abcd. go >h >b=abcd."),
            ],
        ),
        (
            "3: the same, with the limit",
            &["h3"],
            &[
                ("h b=ab b=cd.", "A:h hold buffer buffer"),
                ("go:A", "A:b=abcd. go >h >b=abcd."),
            ],
        ),
        (
            "4, and all that newer ABIs may bring, are as 1",
            &["h4 H77"],
            &[
                ("h b=ab.", "A:h hold watermark"),
                ("go:A", "A:b=ab. go >h >b=ab."),
                ("H B=x.", "A:H hold watermark"),
                ("GO:A", "A:B=x. GO <H <B=x."),
            ],
        ),
        (
            "2: end of the stream, which Envoy takes for going on",
            &["h2 H2"],
            &[("h.", "A:h. >h."), ("H.", "A:H. <H.")],
        ),
        (
            "without a body there is no body event",
            &["h1"],
            &[("h.", "A:h. hold"), ("go:A", "go >h.")],
        ),
        (
            "a body that is not yet complete comes as far as it is",
            &["h1"],
            &[
                ("h b=ab", "A:h hold watermark"),
                ("go:A", "A:b=ab go >h >b=ab"),
                ("b=cd.", "A:b=cd. >b=cd."),
            ],
        ),
        (
            "resumed before there is a body",
            &["h1"],
            &[
                ("h", "A:h hold"),
                ("go:A", "go >h"),
                ("b=ab.", "A:b=ab. >b=ab."),
            ],
        ),
        (
            "an empty body has an end",
            &["h1"],
            &[
                ("h b=.", "A:h hold watermark"),
                ("go:A", "A:b=. go >h >b=."),
            ],
        ),
        (
            "a body with trailers ends with them",
            &["h1"],
            &[
                ("h b=ab t", "A:h hold watermark hold"),
                ("go:A", "A:b=ab A:t go >h >b=ab >t"),
            ],
        ),
        (
            "trailers without a body",
            &["H1"],
            &[
                ("h.", "A:h. >h."),
                ("H T", "A:H hold hold"),
                ("GO:A", "A:T GO <H <T"),
            ],
        ),
        (
            "the resumed body may be held again",
            &["h1 b1"],
            &[
                ("h b=ab b=c", "A:h hold watermark watermark"),
                ("go:A", "A:b=abc"),
                ("b=d.", "A:b=abcd. >h >b=abcd."),
            ],
        ),
        (
            "… and be resumed again, though nothing more comes",
            &["h1 b1"],
            &[
                ("h b=ab.", "A:h hold watermark"),
                ("go:A", "A:b=ab."),
                ("go:A", "go >h >b=ab."),
            ],
        ),
        (
            "later plugins see nothing meanwhile, earlier ones everything",
            &["", "h1", ""],
            &[
                ("h", "A:h B:h hold"),
                ("b=ab", "A:b=ab watermark"),
                ("b=cd.", "A:b=cd. watermark"),
                ("go:B", "C:h B:b=abcd. C:b=abcd. go >h >b=abcd."),
            ],
        ),
        (
            "responses, the other way round",
            &["", "H1", ""],
            &[
                ("h.", "A:h. B:h. C:h. >h."),
                (
                    "H B=ab B=cd.",
                    "C:H B:H hold C:B=ab watermark C:B=cd. watermark",
                ),
                ("GO:B", "A:H B:B=abcd. A:B=abcd. GO <H <B=abcd."),
            ],
        ),
        (
            "headers may be changed until they go on",
            &["h1,h+a", "h0,h+b"],
            &[
                ("h.", "A:h. route hold"),
                ("go:A", "B:h. route go >h{a,b}."),
            ],
        ),
    ]);
}

#[test]
fn two_plugins_pause_at_headers() {
    play(&[
        (
            "one after the other",
            &["h1", "h1"],
            &[
                ("h b=ab.", "A:h hold watermark"),
                ("go:B", ""),
                ("go:A", "B:h A:b=ab."),
                ("go:A", ""),
                ("go:B", "B:b=ab. go >h >b=ab."),
            ],
        ),
        (
            "each sees the body once, in parts of its own",
            &["h1", "h3"],
            &[
                ("h b=ab", "A:h hold watermark"),
                ("go:A", "B:h A:b=ab"),
                ("b=cd b=ef.", "A:b=cd buffer A:b=ef. buffer"),
                ("go:B", "B:b=abcdef. go >h >b=abcdef."),
            ],
        ),
        (
            "each direction on its own",
            &["h1 H1"],
            &[
                ("h b=a", "A:h hold watermark"),
                ("H B=x.", "A:H hold watermark"),
                ("GO:A", "A:B=x. GO <H <B=x."),
                ("go:A", "A:b=a go >h >b=a"),
            ],
        ),
    ]);
}

#[test]
fn with_hold_headers_the_body_is_seen_meanwhile() {
    play(&[
        (
            "the first body that continues lets both pass",
            &["hold h1 b1", ""],
            &[
                ("h", "A:h hold"),
                ("b=ab", "A:b=ab buffer"),
                ("b=cd.", "A:b=abcd. B:h B:b=abcd. >h >b=abcd."),
            ],
        ),
        (
            "headers may be changed in body events",
            &["hold h1 b0,h+late"],
            &[("h b=ab.", "A:h hold A:b=ab. route >h{late} >b=ab.")],
        ),
        (
            "3 and 4 hold everything all the same",
            &["hold h3 H4"],
            &[
                ("h b=ab.", "A:h hold buffer"),
                ("go:A", "A:b=ab. go >h >b=ab."),
                ("H B=x.", "A:H hold watermark"),
                ("GO:A", "A:B=x. GO <H <B=x."),
            ],
        ),
        (
            "resumed from outside, the body is not seen again",
            &["hold h1 b1", ""],
            &[
                ("h b=ab.", "A:h hold A:b=ab. buffer"),
                ("go:A", "B:h B:b=ab. go >h >b=ab."),
            ],
        ),
        (
            "resumed between headers and body",
            &["hold h1", ""],
            &[
                ("h", "A:h hold"),
                ("go:A", "B:h go >h"),
                ("b=ab.", "A:b=ab. B:b=ab. >b=ab."),
            ],
        ),
        (
            "without a body, only a resume helps",
            &["hold h1"],
            &[("h.", "A:h. hold"), ("go:A", "go >h.")],
        ),
        (
            "a plugin without body events lets both pass",
            &["hold h1 deaf:b"],
            &[("h b=ab.", "A:h hold >h >b=ab.")],
        ),
        (
            "trailers let everything pass, too",
            &["hold h1 b1", ""],
            &[(
                "h b=ab t",
                "A:h hold A:b=ab buffer A:t B:h B:b=ab B:t >h >b=ab >t",
            )],
        ),
        (
            "trailers alone",
            &["hold h1", ""],
            &[("h t", "A:h hold A:t B:h B:t >h >t")],
        ),
        (
            "the next one pauses as well",
            &["hold h1", "h1"],
            &[
                ("h b=ab", "A:h hold A:b=ab B:h watermark"),
                ("b=c.", "A:b=c. watermark"),
                ("go:B", "B:b=abc. go >h >b=abc."),
            ],
        ),
        (
            "a reply of a later plugin at the headers ends it for all",
            &["hold h1", "", "h0,reply=403"],
            &[(
                "h b=ab.",
                "A:h hold A:b=ab. B:h C:h C:H403. B:H403. A:H403. drop reply=403",
            )],
        ),
        (
            "… the same at trailers",
            &["hold h1 b1", "", "h0,reply=403"],
            &[(
                "h b=ab t",
                "A:h hold A:b=ab buffer A:t B:h C:h C:H403. B:H403. A:H403. hold reply=403",
            )],
        ),
    ]);
}

#[test]
fn only_what_has_paused_can_be_resumed() {
    play(&[
        (
            "never paused",
            &["", ""],
            &[
                ("h", "A:h B:h >h"),
                ("go:A go:B GO:A", ""),
                ("b=ab.", "A:b=ab. B:b=ab. >b=ab."),
                ("go:A", ""),
            ],
        ),
        (
            "before anything",
            &[""],
            &[("go:A GO:A", ""), ("h.", "A:h. >h.")],
        ),
        (
            "no such plugin",
            &["h1"],
            &[("h.", "A:h. hold"), ("go:B", ""), ("go:A", "go >h.")],
        ),
        (
            "twice",
            &["h1"],
            &[("h.", "A:h. hold"), ("go:A", "go >h."), ("go:A", "")],
        ),
        (
            "a response that has not begun",
            &["h1"],
            &[("h.", "A:h. hold"), ("GO:A", ""), ("go:A", "go >h.")],
        ),
        (
            "asked while not paused: a pause that comes later is not concerned",
            &["b0,GO", "b0,GO H1 B1"],
            &[
                ("h", "A:h B:h >h"),
                ("H", "B:H hold"),
                // A is not paused, it only has not seen anything yet; B is, and resumed.
                ("b=a", "A:b=a B:b=a A:H >b=a GO <H"),
                ("B=x", "B:B=x buffer"),
                ("GO:B", "A:B=x GO <B=x"),
            ],
        ),
        (
            "… though it comes in the same event",
            &["b0,GO H1", "b0,GO H1"],
            &[
                ("h H", "A:h B:h >h B:H hold"),
                ("b=a", "A:b=a B:b=a A:H >b=a"),
                ("GO:A", "GO <H"),
            ],
        ),
    ]);
}

#[test]
fn plugins_ask_to_continue() {
    play(&[
        (
            "in the callback that pauses: it continues",
            &["h1,go b1,go t1,go H1,GO B3,GO T1,GO"],
            &[
                ("h b=a t", "A:h >h A:b=a >b=a A:t >t"),
                ("H B=x T", "A:H <H A:B=x <B=x A:T <T"),
            ],
        ),
        (
            "the request, in a callback of the response",
            &["h1 H0,go"],
            &[
                ("h b=a.", "A:h hold watermark"),
                ("H.", "A:H. A:b=a. <H. go >h >b=a."),
            ],
        ),
        (
            "the response, in a callback of the request",
            &["H1 b0,GO"],
            &[
                ("h H B=x.", "A:h >h A:H hold watermark"),
                ("b=a.", "A:b=a. A:B=x. >b=a. GO <H <B=x."),
            ],
        ),
        (
            "a response that has not begun",
            &["h0,GO b0,GO"],
            &[("h b=a.", "A:h >h A:b=a. >b=a."), ("H.", "A:H. <H.")],
        ),
        (
            "each the other's, in turn",
            &["b1,GO H1 B0,go"],
            &[
                ("h H B=x", "A:h >h A:H hold watermark"),
                ("b=a", "A:b=a A:B=x >b=a GO <H <B=x"),
            ],
        ),
        (
            "in the order in which they ask",
            &["b0,GO B1", "b0,GO B0 B1"],
            &[
                ("h H", "A:h B:h >h B:H A:H <H"),
                ("B=x B=y", "B:B=x A:B=x buffer B:B=y buffer"),
                ("b=.", "A:b=. B:b=. A:B=y >b=. GO <B=xy"),
            ],
        ),
    ]);
}
