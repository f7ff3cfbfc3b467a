//! Trailers, alone and behind held bodies.

use super::play;

#[test]
fn trailers_come_behind_the_body() {
    play(&[
        (
            "while the body is held: it is shown, and goes on with them",
            &["look b1", ""],
            &[
                ("h b=ab", "A:h[h] B:h >h A:b=ab[b2] buffer"),
                ("t", "A:t[t b2] B:b=ab B:t >b=ab >t"),
            ],
        ),
        (
            "… and may be replaced",
            &["b1 t0,b=new", ""],
            &[(
                "h b=ab t",
                "A:h B:h >h A:b=ab buffer A:t B:b=new B:t >b=new >t",
            )],
        ),
        (
            "a body held unseen is not shown",
            &["look b2", ""],
            &[(
                "h b=ab t",
                "A:h[h] B:h >h A:b=ab[b2] watermark A:t[t] B:b=ab B:t >b=ab >t",
            )],
        ),
        (
            "dropped, the body is gone",
            &["b3", ""],
            &[("h b=ab t", "A:h B:h >h A:b=ab buffer A:t B:t >t")],
        ),
        (
            "a body that is emptied is no event",
            &["b1 t0,b=", ""],
            &[("h b=ab t", "A:h B:h >h A:b=ab buffer A:t B:t >t")],
        ),
        (
            "the next one holds the body in turn",
            &["b1", "b1 t0,b$!"],
            &[(
                "h b=ab t",
                "A:h B:h >h A:b=ab buffer A:t B:b=ab B:t >b=ab! >t",
            )],
        ),
        (
            "a plugin without a callback lets the held body pass",
            &["b1 deaf:t"],
            &[("h b=ab t", "A:h >h A:b=ab buffer >b=ab >t")],
        ),
    ]);
}

#[test]
fn pausing_at_trailers() {
    play(&[
        (
            "alone",
            &["t1", ""],
            &[
                ("h b=ab t", "A:h B:h >h A:b=ab B:b=ab >b=ab A:t hold"),
                ("go:A", "B:t go >t"),
            ],
        ),
        (
            "with any answer but 0",
            &["t2 T99"],
            &[
                ("h t", "A:h >h A:t hold"),
                ("go:A", "go >t"),
                ("H T", "A:H <H A:T hold"),
                ("GO:A", "GO <T"),
            ],
        ),
        (
            "with the body",
            &["b1 t1", ""],
            &[
                ("h b=ab t", "A:h B:h >h A:b=ab buffer A:t hold"),
                ("go:A", "B:b=ab B:t go >b=ab >t"),
            ],
        ),
        (
            "with an edited body",
            &["b1 t1,b$cd", ""],
            &[
                ("h b=ab t", "A:h B:h >h A:b=ab buffer A:t hold"),
                ("go:A", "B:b=abcd B:t go >b=abcd >t"),
            ],
        ),
        (
            "and held headers",
            &["hold h1 b1 t1", ""],
            &[
                ("h b=ab t", "A:h hold A:b=ab buffer A:t hold"),
                ("go:A", "B:h B:b=ab B:t go >h >b=ab >t"),
            ],
        ),
        (
            "two of them, the body held by the second",
            &["t1", "b1 t1"],
            &[
                ("h b=ab t", "A:h B:h >h A:b=ab B:b=ab buffer A:t hold"),
                ("go:B", ""),
                ("go:A", "B:t"),
                ("go:B", "go >b=ab >t"),
            ],
        ),
        (
            "of a response",
            &["", "B1 T1"],
            &[
                ("h.", "A:h. B:h. >h."),
                ("H B=xy T", "B:H A:H <H B:B=xy buffer B:T hold"),
                ("GO:B", "A:B=xy A:T GO <B=xy <T"),
            ],
        ),
        (
            "arriving at paused headers",
            &["", "h1 t0,b=x", ""],
            &[
                ("h b=ab t", "A:h B:h hold A:b=ab watermark A:t hold"),
                ("go:B", "C:h B:b=ab C:b=ab B:t no:b=x C:t go >h >b=ab >t"),
            ],
        ),
        (
            "… where the body is held once more",
            &["h1 b1 t1", ""],
            &[
                ("h b=ab t", "A:h hold watermark hold"),
                ("go:A", "B:h A:b=ab A:t"),
                ("go:A", "B:b=ab B:t go >h >b=ab >t"),
            ],
        ),
        (
            "resumed in an event of the response",
            &["t1 H0,go"],
            &[("h t", "A:h >h A:t hold"), ("H.", "A:H. <H. go >t")],
        ),
    ]);
}
