//! What monitoring sees, on an address of its own that should be a loopback one: `/healthz` (the
//! process answers), `/readyz` (it can reach its database and takes requests), `/metrics`.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use warp::http::{HeaderValue, Response, StatusCode, header};
use warp::{Filter, Reply};

use super::traffic::Traffic;

/// What the service knows of itself.
pub trait Health: Clone + Send + Sync + 'static {
    /// Returns whether requests can be served.
    fn is_ready(&self) -> impl Future<Output = bool> + Send;
}

/// Serves until the process ends.
pub async fn serve_operations(listener: TcpListener, health: impl Health, traffic: Arc<Traffic>) {
    let healthz = warp::path!("healthz").map(|| answer(StatusCode::OK, "ok\n".to_owned()));
    let readyz = warp::path!("readyz").and_then(move || {
        let health = health.clone();
        async move {
            Ok::<_, Infallible>(match health.is_ready().await {
                true => answer(StatusCode::OK, "ready\n".to_owned()),
                false => answer(StatusCode::SERVICE_UNAVAILABLE, "no database\n".to_owned()),
            })
        }
    });
    let metrics = warp::path!("metrics").map(move || match traffic.encode() {
        Ok(text) => answer(StatusCode::OK, text),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    });
    let routes = warp::get().and(healthz.or(readyz).or(metrics));
    monitoring::serve(listener, warp::service(routes)).await;
}

fn answer(status: StatusCode, text: String) -> impl Reply + use<> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
