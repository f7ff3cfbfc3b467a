//! What plugins do to bodies.

use super::play;

#[test]
fn answers_to_a_body_event() {
    play(&[
        (
            "0: each part on its own",
            &[""],
            &[
                ("h b=ab", "A:h >h A:b=ab >b=ab"),
                ("b=cd", "A:b=cd >b=cd"),
                ("b=.", "A:b=. >b=."),
            ],
        ),
        (
            "1: what is held is seen again, and grows",
            &["b1 b1 b1"],
            &[
                ("h b=ab", "A:h >h A:b=ab buffer"),
                ("b=cd", "A:b=abcd buffer"),
                ("b=ef", "A:b=abcdef buffer"),
                ("b=.", "A:b=abcdef. >b=abcdef."),
            ],
        ),
        (
            "1, then 0: part by part again",
            &["b1 b0 b0"],
            &[
                ("h b=ab b=cd", "A:h >h A:b=ab buffer A:b=abcd >b=abcd"),
                ("b=ef.", "A:b=ef. >b=ef."),
            ],
        ),
        (
            "2: held, but not seen again",
            &["b2 b2"],
            &[
                ("h b=ab", "A:h >h A:b=ab watermark"),
                ("b=cd", "A:b=cd watermark"),
                ("b=ef.", "A:b=ef. >b=abcdef."),
            ],
        ),
        (
            "2, then 1: seen again from there on",
            &["b2 b1"],
            &[
                ("h b=ab b=cd", "A:h >h A:b=ab watermark A:b=cd buffer"),
                ("b=ef.", "A:b=abcdef. >b=abcdef."),
            ],
        ),
        (
            "1, then 2: no more",
            &["b1 b2"],
            &[
                ("h b=ab b=cd", "A:h >h A:b=ab buffer A:b=abcd watermark"),
                ("b=ef.", "A:b=ef. >b=abcdef."),
            ],
        ),
        (
            "3: gone",
            &["b3 b3"],
            &[
                ("h b=ab b=cd", "A:h >h A:b=ab buffer A:b=cd buffer"),
                ("b=ef.", "A:b=ef. >b=ef."),
            ],
        ),
        (
            "3, whole: the end remains",
            &["b3"],
            &[("h b=ab.", "A:h >h A:b=ab. buffer"), ("go:A", "go >b=.")],
        ),
        (
            "3 after 2: only the new part is gone",
            &["b2 b3"],
            &[
                ("h b=ab b=cd", "A:h >h A:b=ab watermark A:b=cd buffer"),
                ("b=ef.", "A:b=ef. >b=abef."),
            ],
        ),
        (
            "3 after 1: Envoy holds it all already, so nothing is gone",
            &["b1 b3"],
            &[
                ("h b=ab b=cd", "A:h >h A:b=ab buffer A:b=abcd buffer"),
                ("b=ef.", "A:b=ef. >b=abcdef."),
            ],
        ),
        (
            "what newer ABIs may bring is as 3",
            &["b99"],
            &[("h b=ab b=cd.", "A:h >h A:b=ab buffer A:b=cd. >b=cd.")],
        ),
        (
            "held whole, and resumed: not seen again",
            &["b1 B2"],
            &[
                ("h b=ab.", "A:h >h A:b=ab. buffer"),
                ("go:A", "go >b=ab."),
                ("H B=xy.", "A:H <H A:B=xy. watermark"),
                ("GO:A", "GO <B=xy."),
            ],
        ),
        (
            "resumed halfway",
            &["b1"],
            &[
                ("h b=ab", "A:h >h A:b=ab buffer"),
                ("go:A", "go >b=ab"),
                ("b=cd.", "A:b=cd. >b=cd."),
            ],
        ),
    ]);
}

#[test]
fn edits_are_seen_by_the_next_plugin() {
    play(&[
        (
            "of a part",
            &["b0,b=xyz b0,b^<,b$>", "B0,B=", ""],
            &[
                ("h b=ab", "A:h B:h C:h >h A:b=ab B:b=xyz C:b=xyz >b=xyz"),
                ("b=cd.", "A:b=cd. B:b=<cd>. C:b=<cd>. >b=<cd>."),
                ("H B=ab.", "C:H B:H A:H <H C:B=ab. B:B=ab. A:B=. <B=."),
            ],
        ),
        (
            "of all that is held",
            &["b1 b1 b0,b=new"],
            &[
                ("h b=ab b=cd", "A:h >h A:b=ab buffer A:b=abcd buffer"),
                ("b=.", "A:b=abcd. >b=new."),
            ],
        ),
        (
            "of what is held on",
            &["b1,b=longer b1,b= b0,b$!", ""],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab buffer"),
                ("b=cd", "A:b=longercd buffer"),
                ("b=ef", "A:b=ef B:b=ef! >b=ef!"),
            ],
        ),
        (
            "behind bytes that are held unseen",
            &["b2 b2,b^< b0,b=x"],
            &[
                ("h b=ab", "A:h >h A:b=ab watermark"),
                ("b=cd", "A:b=cd watermark"),
                ("b=ef.", "A:b=ef. >b=ab<cdx."),
            ],
        ),
        (
            "after the end, which makes a body",
            &["b0,b$tail"],
            &[("h b=.", "A:h >h A:b=. >b=tail.")],
        ),
        (
            "not in events of headers, nor of trailers unless the body is held",
            &["h0,b=x t0,b=x H0,B$x"],
            &[
                ("h b=ab t", "A:h no:b=x >h A:b=ab >b=ab A:t no:b=x >t"),
                ("H.", "A:H. no:B$x <H."),
            ],
        ),
        (
            "of a held request, in an event of the response",
            &["b1 H0,b=longer b0,b$!", ""],
            &[
                ("h b=ab H.", "A:h B:h >h A:b=ab buffer B:H. A:H. <H."),
                ("b=c", "A:b=longerc B:b=longerc! >b=longerc!"),
            ],
        ),
        (
            "… with others holding bytes before and after it",
            &["b1 b2", "b1 H0,b=longer b1,b$!", "b2"],
            &[
                ("h b=ab", "A:h B:h C:h >h A:b=ab buffer"),
                ("go:A", "B:b=ab"),
                ("b=cd", "A:b=cd watermark"),
                ("H.", "C:H. B:H. A:H. <H."),
                ("b=ef.", "A:b=ef. B:b=longercdef. buffer"),
                ("go:B", "C:b=longercdef!."),
                ("go:C", "go >b=longercdef!."),
            ],
        ),
    ]);
}

#[test]
fn several_plugins_hold_bytes() {
    play(&[
        (
            "an earlier one goes on seeing parts, behind the held bytes",
            &["b0,b=1 b0,b=22 b0,b^3", "b1* "],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab B:b=1 buffer"),
                ("b=cd", "A:b=cd B:b=122 buffer"),
                ("b=ef.", "A:b=ef. B:b=1223ef. buffer"),
                ("go:B", "go >b=1223ef."),
            ],
        ),
        (
            "both hold, the later one goes first: its bytes wait for those behind",
            &["b0 b1", "b1"],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab B:b=ab buffer"),
                ("b=cd", "A:b=cd buffer"),
                ("go:B", ""),
                ("go:A", "B:b=cd go >b=abcd"),
                ("b=ef.", "A:b=ef. B:b=ef. >b=ef."),
            ],
        ),
        (
            "both hold, the earlier one goes first",
            &["b0 b1", "b1 b1"],
            &[
                (
                    "h b=ab b=cd",
                    "A:h B:h >h A:b=ab B:b=ab buffer A:b=cd buffer",
                ),
                ("go:A", "B:b=abcd"),
                ("b=ef.", "A:b=ef. B:b=abcdef. >b=abcdef."),
            ],
        ),
        (
            "three of them, edits in the middle",
            &["b0 b0 b1 b0,b=5", "b0 b2 b1,b^4 b0,b$6", "b2 b0,b^9"],
            &[
                ("h b=a", "A:h B:h C:h >h A:b=a B:b=a C:b=a watermark"),
                ("b=b", "A:b=b B:b=b watermark"),
                ("b=c", "A:b=c watermark"),
                ("go:A", "B:b=c"),
                ("b=d.", "A:b=d. B:b=b4c5. C:b=b4c56. >b=a9b4c56."),
            ],
        ),
        (
            "an earlier one drops its part",
            &["b0 b3", "b1"],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab B:b=ab buffer"),
                ("b=cd", "A:b=cd buffer"),
                ("b=ef.", "A:b=ef. B:b=abef. >b=abef."),
            ],
        ),
        (
            "a later one drops what an earlier one let go",
            &["b1", "b3"],
            &[
                ("h b=ab", "A:h B:h >h A:b=ab buffer"),
                ("b=cd", "A:b=abcd B:b=abcd buffer"),
                ("b=ef.", "A:b=ef. B:b=ef. >b=ef."),
            ],
        ),
        (
            "bytes that passed all are not touched any more",
            &["b0 b1", "b1 b0,b=new"],
            &[
                (
                    "h b=ab b=cd",
                    "A:h B:h >h A:b=ab B:b=ab buffer A:b=cd buffer",
                ),
                ("go:B", ""),
                ("b=ef.", "A:b=cdef. B:b=cdef. >b=abnew."),
            ],
        ),
        (
            "a response, the other way round",
            &["B1", "B0 B1"],
            &[
                ("h. H B=ab", "A:h. B:h. >h. B:H A:H <H B:B=ab A:B=ab buffer"),
                ("B=cd", "B:B=cd buffer"),
                ("GO:A", ""),
                ("GO:B", "A:B=cd GO <B=abcd"),
            ],
        ),
        (
            "headers paused behind a held body",
            &["b1", "h1"],
            &[
                ("h b=ab", "A:h B:h hold A:b=ab watermark"),
                ("go:B", ""),
                ("go:A", "B:b=ab go >h >b=ab"),
            ],
        ),
        (
            "back-pressure counts if anyone asks for it",
            &["b0 b1 b1", "b2 b1"],
            &[
                ("h b=a", "A:h B:h >h A:b=a B:b=a watermark"),
                ("b=b", "A:b=b watermark"),
                ("go:B", ""),
                ("b=c", "A:b=bc buffer"),
            ],
        ),
    ]);
}
