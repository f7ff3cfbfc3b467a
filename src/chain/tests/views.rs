//! What a callback may see and change.

use super::play;

#[test]
fn maps_and_bodies_by_callback() {
    play(&[
        (
            "each sees its own",
            &["look"],
            &[
                ("h b=ab t", "A:h[h] >h A:b=ab[b2] >b=ab A:t[t] >t"),
                ("H B=xyz T", "A:H[H] <H A:B=xyz[B3] <B=xyz A:T[T] <T"),
                ("end", "A:log[log h- H- T-] A:delete[]"),
            ],
        ),
        (
            "others are denied",
            &["h0,H+x b0,h+x,t+x t0,h+x H0,h+x,T+x B0,H+x l,h+x d,h+x"],
            &[
                ("h", "A:h no:H+x >h"),
                ("b=a", "A:b=a no:h+x no:t+x >b=a"),
                ("t", "A:t no:h+x >t"),
                ("H", "A:H no:h+x no:T+x <H"),
                ("B=x.", "A:B=x. no:H+x <B=x."),
                ("end", "A:log no:h+x A:delete no:h+x"),
            ],
        ),
        (
            "request headers while paused at them, until resumed",
            &["look h1 H0,h+x"],
            &[
                ("h b=a", "A:h[h] hold watermark"),
                ("H", "A:H[h H] route <H"),
                ("go:A", "A:b=a[b1] go >h{x} >b=a"),
                ("B=x.", "A:B=x.[B1] <B=x."),
            ],
        ),
        (
            "response headers while paused at them, and on to the end of the response",
            &["look H1"],
            &[
                ("h H", "A:h[h] >h A:H[H] hold"),
                ("b=a", "A:b=a[H b1] >b=a"),
                ("GO:A", "GO <H"),
                ("b=b.", "A:b=b.[b1] >b=b."),
                ("B=x T", "A:B=x[H B1] <B=x A:T[H T] <T"),
            ],
        ),
        (
            "a response that asked to continue in its callback has not paused",
            &["look H1,GO"],
            &[("h. H B=x.", "A:h.[h] >h. A:H[H] <H A:B=x.[B1] <B=x.")],
        ),
        (
            "request headers in body events, with hold-headers",
            &["look hold h1 b1"],
            &[
                ("h b=a", "A:h[h] hold A:b=a[h b1] buffer"),
                ("b=b", "A:b=ab[h b2] >h >b=ab"),
                ("b=c.", "A:b=c.[h b1] >b=c."),
            ],
        ),
        (
            "the other direction's body while it is buffered",
            &["look b1"],
            &[
                ("h b=ab", "A:h[h] >h A:b=ab[b2] buffer"),
                ("H", "A:H[H b2] <H"),
                ("go:A", "go >b=ab"),
                ("B=x.", "A:B=x.[B1] <B=x."),
            ],
        ),
        (
            "… but not while it waits unseen or at headers",
            &["look b2", "look h1"],
            &[
                ("h b=ab", "A:h[h] B:h[h] hold A:b=ab[b2] watermark"),
                ("H.", "B:H.[h H] A:H.[H] <H."),
            ],
        ),
        (
            "trailers while paused at them, with the buffered body",
            &["look b1 t1 H0,t+x,b$!"],
            &[
                ("h b=ab t", "A:h[h] >h A:b=ab[b2] buffer A:t[t b2] hold"),
                ("H", "A:H[t H b2] <H"),
                ("go:A", "go >b=ab! >t{x}"),
                ("B=.", "A:B=.[B0] <B=."),
            ],
        ),
        (
            "a reply is a response",
            &["look H1", "h0,reply=403:no"],
            &[
                ("h.", "A:h.[h] B:h. B:H403 A:H403[H] B:B=no. hold"),
                ("GO:A", "A:B=no.[H B2] reply=403:no"),
            ],
        ),
        (
            "a request that was answered has no body any more, whatever was done to it",
            &["look b1 b0,b=,reply=403:no", "look b1"],
            &[
                ("h b=ab", "A:h[h] B:h[h] >h A:b=ab[b2] buffer"),
                (
                    "b=cd",
                    "A:b=abcd[b4] B:H403[H] A:H403[H] B:B=no.[B2] A:B=no.[B2] drop reply=403:no",
                ),
            ],
        ),
        (
            "nothing when a context is made or deleted",
            &["o,h+x,b=x d,h+x"],
            &[
                ("h.", "no:h+x no:b=x A:h. >h."),
                ("end", "A:log A:delete no:h+x"),
            ],
        ),
        (
            "nor when it is made for the end",
            &["look l,h+x", "look o,h+x"],
            &[
                ("h.", "A:h.[h] no:h+x B:h.[h] >h."),
                (
                    "end",
                    "A:log[log h- H- T-] no:h+x B:log[log h- H- T-] A:delete[] B:delete[]",
                ),
            ],
        ),
    ]);
}

#[test]
fn the_route_is_picked_anew_once_a_hook() {
    play(&[
        (
            "however many change it",
            &["h0,h+a,h+b", "h0,h+c"],
            &[("h.", "A:h. B:h. route >h{a,b,c}.")],
        ),
        (
            "before a resumed request goes on",
            &["h1", "h0,h+c"],
            &[("h.", "A:h. hold"), ("go:A", "B:h. route go >h{c}.")],
        ),
        (
            "not for responses",
            &["H0,H+a"],
            &[("h. H.", "A:h. >h. A:H. <H{a}.")],
        ),
    ]);
}
