// Host functions that the SDK lacks or cannot reach: it has no way to write a buffer, and its
// functions for shared data have their directions swapped.

import { free } from "@solo-io/proxy-runtime/malloc";
import { proxy_get_shared_data, proxy_set_shared_data } from "@solo-io/proxy-runtime/imports";

// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(
  kind: i32, start: u32, length: u32, data: usize, size: usize,
): u32;

/** Replaces the `length` bytes that a buffer holds. */
export function replaceBuffer(kind: i32, length: u32, content: ArrayBuffer): void {
  proxy_set_buffer_bytes(kind, 0, length, changetype<usize>(content), content.byteLength);
}

/** What is stored under a key; empty, of version 0, where nothing is. */
export class Stored {
  text: string = "";
  version: u32 = 0;
}

/** Where the host puts results. */
class Out {
  data: usize = 0;
  size: usize = 0;
  version: u32 = 0;
}

const out = new Out();

export function sharedData(key: string): Stored {
  const name = String.UTF8.encode(key);
  const at = changetype<usize>(out);
  const stored = new Stored();
  if (proxy_get_shared_data(
    changetype<usize>(name), name.byteLength,
    at + offsetof<Out>("data"), at + offsetof<Out>("size"), at + offsetof<Out>("version"),
  ) == 0 && out.size > 0) {
    stored.text = String.UTF8.decode(changetype<ArrayBuffer>(out.data));
    stored.version = out.version;
    // The host had it from the SDK's malloc.
    free(out.data);
  }
  return stored;
}

export function setSharedData(key: string, text: string, version: u32): u32 {
  const name = String.UTF8.encode(key);
  const value = String.UTF8.encode(text);
  return proxy_set_shared_data(
    changetype<usize>(name), name.byteLength, changetype<usize>(value), value.byteLength, version);
}
