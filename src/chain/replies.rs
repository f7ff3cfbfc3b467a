//! Answering a stream.

use super::stream::{Effect, Stream};
use crate::proxy_wasm::{Direction, Reply};

impl Stream {
    /// A plugin answers the stream while it handles an event of `direction`.
    ///
    /// On the request path the reply takes the way of a response: all plugins that the request
    /// came to see it. Once there is a response, it takes the response's place as it is.
    pub(super) fn reply(&mut self, direction: Direction, reply: Reply) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        exchange.begin_reply(reply);
        let body = exchange.body_len(Direction::Response);
        if direction == Direction::Response || self.flow(Direction::Response).started {
            self.send_reply();
            return;
        }
        self.flow_mut(Direction::Request).closed = true;
        let flow = self.flow_mut(Direction::Response);
        flow.started = true;
        flow.end_with_headers = body == 0;
        self.pass_headers(Direction::Response, 0);
        if body > 0 && !self.flow(Direction::Response).closed {
            self.pass_body(Direction::Response, 0, body, true);
        }
        self.send_reply_if_through();
    }

    pub(super) fn has_reply(&self) -> bool {
        self.exchange.as_ref().is_some_and(|e| e.reply.is_some())
    }

    pub(super) fn send_reply_if_through(&mut self) {
        if !self.flow(Direction::Response).closed && self.is_through(Direction::Response) {
            self.send_reply();
        }
    }

    pub(super) fn send_reply(&mut self) {
        let reply = self.exchange.as_mut().and_then(|e| e.reply.take());
        if let Some(mut reply) = reply {
            reply.seal();
            self.close(Effect::Reply(reply));
        }
    }

    /// Ends both directions with `effect`.
    pub(super) fn close(&mut self, effect: Effect) {
        self.shut();
        self.effects.push(effect);
    }

    /// Passes nothing on any more.
    pub(super) fn shut(&mut self) {
        self.flows.for_each(|flow| flow.closed = true);
        if let Some(exchange) = &mut self.exchange {
            exchange.reply = None;
        }
    }
}
