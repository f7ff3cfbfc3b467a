use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;
use crate::source::Label;

const WASM: &[u8] = b"\0asm\x01\0\0\0";
const MAX: u64 = 1 << 20;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A tar whose only header says that the file has `size` bytes, of which none follow.
fn promise(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(PLUGIN).unwrap();
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn every_nesting_is_opened() {
    let tarred = tar(&[("a/any.name", WASM), ("b", b"other")]);
    for packed in [
        WASM.to_vec(),
        gzip(WASM),
        zstd(WASM),
        tarred.clone(),
        gzip(&tarred),
        gzip(&gzip(&tarred)),
        tar(&[("x.tar.gz", &gzip(&tarred))]),
        zstd(&tarred),
    ] {
        assert_eq!(module(packed, "x", MAX).unwrap(), WASM);
    }
}

#[test]
fn layers_are_searched_by_base_name() {
    let files: [(&str, &[u8]); 4] = [
        ("etc/other", b"1"),
        ("etc/plugin.wasm.bak", b"2"),
        ("opt/plugin.wasm", WASM),
        ("runtime-config.json", b"{}"),
    ];
    let tarred = tar(&files);
    let mut chunked = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let (one, two) = tarred.split_at(700);
    chunked.extend(zstd(one));
    chunked.extend([0x5e, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
    chunked.extend(zstd(two));
    for packed in [tarred.clone(), gzip(&tarred), zstd(&tarred), chunked] {
        let found = layer(&packed, "x", MAX).unwrap();
        assert_eq!(found.module.as_deref(), Some(WASM));
        assert_eq!(found.runtime_config.as_deref(), Some(&b"{}"[..]));
    }
    let none = layer(&tar(&files[..2]), "x", MAX).unwrap();
    assert!(none.module.is_none());
    assert_eq!(none.names, ["etc/other", "etc/plugin.wasm.bak"]);
}

#[test]
fn names_longer_than_a_header_are_read() {
    let long = format!("{}/plugin.wasm", "d".repeat(200));
    let gnu = tar(&[(&long, WASM)]);
    assert!(layer(&gnu, "x", MAX).unwrap().module.is_some());
    let mut builder = tar::Builder::new(Vec::new());
    let pax = [("path", long.as_bytes()), ("mtime", b"1.5")];
    builder.append_pax_extensions(pax).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(WASM.len() as u64);
    builder.append_data(&mut header, "cut", WASM).unwrap();
    let pax = builder.into_inner().unwrap();
    assert!(layer(&pax, "x", MAX).unwrap().module.is_some());
}

#[test]
fn what_is_too_large_is_refused_and_never_cut() {
    let zeros = vec![0; MAX as usize * 4];
    let limit = |packed: Vec<u8>| module(packed, "x", MAX).unwrap_err().label();
    assert_eq!(limit(gzip(&zeros)), Label::TooLarge, "a gzip bomb");
    assert_eq!(limit(zstd(&zeros)), Label::TooLarge, "a zstd bomb");
    assert_eq!(limit(tar(&[("x", &zeros)])), Label::TooLarge);
    assert_eq!(limit(gzip(&tar(&[("x", &zeros)]))), Label::TooLarge);
    assert_eq!(limit(promise(10 << 30)), Label::TooLarge, "a header's word");
    assert!(module(zeros[..MAX as usize].to_vec(), "x", MAX).is_ok());

    let limit = |packed: Vec<u8>| layer(&packed, "x", MAX).unwrap_err().label();
    assert_eq!(limit(promise(10 << 30)), Label::TooLarge);
    let around = [
        ("a", &zeros[..MAX as usize]),
        ("b", &zeros[..MAX as usize]),
        ("plugin.wasm", WASM),
    ];
    assert_eq!(limit(gzip(&tar(&around))), Label::TooLarge, "files around");
}

#[test]
fn what_is_broken_is_told() {
    let packed = gzip(&tar(&[("x", &[7; 5000])]));
    let broken = |packed: &[u8]| module(packed.to_vec(), "x", MAX).unwrap_err().label();
    assert_eq!(broken(&packed[..packed.len() / 2]), Label::Archive);
    assert_eq!(broken(&promise(100)), Label::Archive);
    assert_eq!(broken(&gzip(b"\x1f\x8b")), Label::Archive);
}

/// Whatever happens on the way, nothing but an error comes of it.
#[test]
fn no_damage_is_a_panic() {
    let tarred = tar(&[("a", b"x"), ("plugin.wasm", WASM)]);
    for packed in [gzip(&tarred), zstd(&tarred), tarred] {
        for at in 0..packed.len() {
            for change in [1, 0x80, 0xff] {
                let mut damaged = packed.clone();
                damaged[at] ^= change;
                let _any = module(damaged.clone(), "x", MAX);
                let _any = layer(&damaged, "x", MAX);
            }
            let _any = module(packed[..at].to_vec(), "x", MAX);
            let _any = layer(&packed[..at], "x", MAX);
        }
    }
}
