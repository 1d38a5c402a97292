//! A seat for each request, as priority and fairness have it.
//!
//! Watches hold one until they have begun; streams and tunnels need none. Who waits too long, or finds its queue full, is
//! told to come back later. Upstream: apiserver `pkg/server/filters/priority-and-fairness.go`,
//! `pkg/util/flowcontrol/request/{width,list_work_estimator}.go`.

use super::trace::Trace;
use crate::{
    api::Server,
    flow::{Ticket, Turn},
    query::Query,
    request_info::RequestInfo,
};
use proa_meta::{ApiError, ApiResult, Reason, User};
use prometheus_client::metrics::gauge::Gauge;

/// Objects of a list that one seat is for. Upstream: `objectsPerSeat`.
const OBJECTS_PER_SEAT: usize = 100;
/// Most seats of one request. Upstream: `maximumSeatsLimit`.
const WIDEST: usize = 10;
/// What part of a request's time it may wait for its seat, as upstream.
const WAIT: u32 = 4;

/// Held while a request is answered.
pub(crate) struct Seat {
    _ticket: Option<Ticket>,
    gauge: Option<Gauge>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.dec();
        }
    }
}

pub(super) async fn enter(
    server: &Server,
    info: &RequestInfo,
    query: &Query<'_>,
    user: &User,
    trace: &mut Trace,
) -> ApiResult<Seat> {
    if info.is_long_running() && info.verb != "watch" {
        return Ok(Seat { _ticket: None, gauge: None });
    }
    let (uids, turn) = server.flows.enter(info, user, || width(server, info, query));
    trace.falls_under(uids);
    let ticket = match turn {
        Turn::Now(ticket) => ticket,
        Turn::Refused(why) => return Err(too_many(server, why)),
        Turn::Later(mut ticket, told) => {
            match tokio::time::timeout(server.config.limits.timeout / WAIT, told).await {
                Ok(_) => ticket.seated(),
                Err(_) => return Err(too_many(server, "time-out")),
            }
            Some(ticket)
        }
    };
    if info.is_long_running() {
        return Ok(Seat { _ticket: ticket, gauge: None });
    }
    let gauge = server.metrics.in_flight(!info.is_read_only());
    gauge.inc();
    Ok(Seat { _ticket: ticket, gauge: Some(gauge) })
}

/// Seats that a request takes: a list, also one that a watch begins with, by the objects that it reads.
fn width(server: &Server, info: &RequestInfo, query: &Query<'_>) -> usize {
    let lists =
        info.verb == "list" || (info.verb == "watch" && query.flag("sendInitialEvents") == Some(true));
    if !lists || !info.is_resource {
        return 1;
    }
    let catalogue = server.config.registry.catalogue();
    let kind = catalogue.find(&info.group, &info.version, &info.resource);
    let stored = kind.map_or(0, |kind| kind.snapshot().len());
    let limit = query.integer("limit").ok().flatten().and_then(|limit| usize::try_from(limit).ok());
    let read = limit.filter(|limit| *limit > 0).map_or(stored, |limit| limit.min(stored));
    read.div_ceil(OBJECTS_PER_SEAT).clamp(1, WIDEST)
}

fn too_many(server: &Server, why: &'static str) -> ApiError {
    server.metrics.rejected(why);
    ApiError::new(Reason::TooManyRequests, "Too many requests, please try again later.").with_retry_after(1)
}
