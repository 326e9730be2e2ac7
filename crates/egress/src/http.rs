//! HTTP requests: built plainly, sent under the guard, answered in counted and timed chunks.

use std::{error::Error as _, path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::{
    Client, Method, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{
        AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue,
        LOCATION,
    },
    redirect,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    fs::File,
    io::AsyncReadExt,
    time::{Instant, timeout, timeout_at},
};

use crate::{EgressError, Policy, guard::Guard};

/// Limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the response's head is there, connection included.
    pub head: Duration,
    /// Between two chunks of the body.
    pub idle: Duration,
    /// For everything.
    pub total: Duration,
    /// Largest body that is taken, bytes.
    pub body_bytes: u64,
    /// Redirects that are followed (GET only); 0 hands the 3xx back.
    pub redirects: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(15),
            idle: Duration::from_secs(15),
            total: Duration::from_secs(60),
            body_bytes: 1 << 20,
            redirects: 0,
        }
    }
}

/// A request, built step by step. Faults of a step are told by [`crate::Egress::send`].
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Option<Body>,
    limits: Limits,
    fault: Option<EgressError>,
}

#[derive(Debug, Clone)]
enum Body {
    Bytes(Bytes),
    File(PathBuf),
}

impl std::fmt::Debug for Request {
    /// Path, query, headers and body may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = Url::parse(&self.url).ok().map(|url| host(&url));
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &host)
            .finish_non_exhaustive()
    }
}

impl Request {
    fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: None,
            limits: Limits::default(),
            fault: None,
        }
    }

    /// GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// POST.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::POST, url)
    }

    /// PUT.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new(Method::PUT, url)
    }

    /// PATCH.
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new(Method::PATCH, url)
    }

    /// DELETE.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::DELETE, url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.fault = Some(bad_url("a header has characters that HTTP does not carry")),
        }
        self
    }

    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        let mut request = self.header("authorization", &format!("Bearer {token}"));
        if let Some(value) = request.headers.get_mut(AUTHORIZATION) {
            value.set_sensitive(true);
        }
        request
    }

    /// Sets a body with its content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.remove(CONTENT_TYPE);
        self.body = Some(Body::Bytes(body.into()));
        self.header("content-type", content_type)
    }

    /// Sends a file as body, read piece by piece while it goes out. [`Limits::head`] and
    /// [`Limits::total`] must allow for that.
    #[must_use]
    pub fn file(mut self, content_type: &str, path: impl Into<PathBuf>) -> Self {
        self.headers.remove(CONTENT_TYPE);
        self.body = Some(Body::File(path.into()));
        self.header("content-type", content_type)
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body("application/json", body),
            Err(error) => Self {
                fault: Some(EgressError::Json {
                    why: error.to_string(),
                }),
                ..self
            },
        }
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// The head of a response, its body still to come.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    host: String,
    limits: Limits,
    deadline: Instant,
    taken: u64,
}

impl Response {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.inner.status().is_success()
    }

    /// A header's value where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`EgressError::Timeout`], [`EgressError::TooLarge`], [`EgressError::Protocol`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        let idle = Instant::now() + self.limits.idle;
        let (until, limit, what) = if idle < self.deadline {
            (idle, self.limits.idle, "body")
        } else {
            (self.deadline, self.limits.total, "request")
        };
        let host = &self.host;
        let chunk = timeout_at(until, self.inner.chunk())
            .await
            .map_err(|_| EgressError::Timeout {
                host: host.clone(),
                what,
                limit,
            })?
            .map_err(|error| translate(&error, host))?;
        self.taken += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if self.taken > self.limits.body_bytes {
            return Err(self.too_large());
        }
        Ok(chunk)
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, EgressError> {
        let announced = self.inner.content_length().unwrap_or(0);
        if announced > self.limits.body_bytes {
            return Err(self.too_large());
        }
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// As [`Self::chunk`], and [`EgressError::Json`].
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, EgressError> {
        let body = self.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| EgressError::Json {
            why: error.to_string(),
        })
    }

    fn too_large(&self) -> EgressError {
        EgressError::TooLarge {
            host: self.host.clone(),
            limit: self.limits.body_bytes,
        }
    }
}

/// One client for each policy: they never share a connection.
#[derive(Clone)]
pub(crate) struct HttpClients {
    named: (Client, Guard),
    untrusted: (Client, Guard),
}

impl HttpClients {
    pub(crate) fn new(
        named: &Guard,
        untrusted: &Guard,
        connect: Duration,
    ) -> Result<Self, EgressError> {
        Ok(Self {
            named: (client(named, connect)?, named.clone()),
            untrusted: (client(untrusted, connect)?, untrusted.clone()),
        })
    }

    fn of(&self, policy: Policy) -> &(Client, Guard) {
        match policy {
            Policy::Named => &self.named,
            Policy::Untrusted => &self.untrusted,
        }
    }

    /// The client for what the operator names.
    pub(crate) fn named(&self) -> Client {
        self.named.0.clone()
    }

    pub(crate) async fn send(
        &self,
        policy: Policy,
        request: Request,
    ) -> Result<Response, EgressError> {
        if let Some(fault) = request.fault.clone() {
            return Err(fault);
        }
        let deadline = Instant::now() + request.limits.total;
        let mut hop = Hop {
            policy,
            url: parse(policy, &request.url)?,
            headers: request.headers.clone(),
        };
        for left in (0..=request.limits.redirects).rev() {
            let inner = self.once(&hop, &request).await?;
            let next = match redirect_of(&request, &inner, &hop.url) {
                Some(next) if request.limits.redirects > 0 => next,
                _ => return Ok(response(inner, &hop, &request, deadline)),
            };
            if left == 0 {
                break;
            }
            hop = hop.onward(&next)?;
        }
        Err(EgressError::TooManyRedirects {
            host: host(&hop.url),
        })
    }

    async fn once(&self, hop: &Hop, request: &Request) -> Result<reqwest::Response, EgressError> {
        let (client, guard) = self.of(hop.policy);
        let host = host(&hop.url);
        guard.check_literal(&host)?;
        let mut building = client
            .request(request.method.clone(), hop.url.clone())
            .headers(hop.headers.clone());
        match &request.body {
            None => {}
            Some(Body::Bytes(bytes)) => building = building.body(bytes.clone()),
            Some(Body::File(path)) => {
                let (length, body) = file_body(path).await?;
                building = building.header(CONTENT_LENGTH, length).body(body);
            }
        }
        let limit = request.limits.head.min(request.limits.total);
        timeout(limit, building.send())
            .await
            .map_err(|_| EgressError::Timeout {
                host: host.clone(),
                what: "head",
                limit,
            })?
            .map_err(|error| translate(&error, &host))
    }
}

/// One request of a chain of redirects.
struct Hop {
    policy: Policy,
    url: Url,
    headers: HeaderMap,
}

impl Hop {
    /// The operator named one origin: whatever it points away to is somebody else's word, and
    /// does not get our credentials.
    fn onward(self, url: &Url) -> Result<Self, EgressError> {
        let mut headers = self.headers;
        let mut policy = self.policy;
        if url.origin() != self.url.origin() {
            policy = Policy::Untrusted;
            headers.remove(AUTHORIZATION);
            headers.remove(COOKIE);
        }
        let url = parse(policy, url.as_str())?;
        Ok(Self {
            policy,
            url,
            headers,
        })
    }
}

/// The file's length and its bytes, 64 KiB at a time.
async fn file_body(path: &std::path::Path) -> Result<(u64, reqwest::Body), EgressError> {
    const PIECE: usize = 64 * 1024;
    let unreadable = |error: std::io::Error| EgressError::File {
        why: error.to_string(),
    };
    let file = File::open(path).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let pieces = stream::try_unfold(file.take(length), |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (piece.freeze(), file)))
    });
    Ok((length, reqwest::Body::wrap_stream(pieces)))
}

fn redirect_of(request: &Request, response: &reqwest::Response, base: &Url) -> Option<Url> {
    let follows = request.method == Method::GET && response.status().is_redirection();
    let location = response.headers().get(LOCATION).filter(|_| follows)?;
    base.join(location.to_str().ok()?).ok()
}

fn response(inner: reqwest::Response, hop: &Hop, request: &Request, deadline: Instant) -> Response {
    Response {
        inner,
        host: host(&hop.url),
        limits: request.limits,
        deadline,
        taken: 0,
    }
}

fn parse(policy: Policy, text: &str) -> Result<Url, EgressError> {
    let url = Url::parse(text).map_err(|_| bad_url("it is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad_url("its scheme is not http or https"));
    }
    if policy == Policy::Untrusted && !(url.username().is_empty() && url.password().is_none()) {
        return Err(bad_url("it carries credentials"));
    }
    url.host_str().ok_or(bad_url("it has no host"))?;
    Ok(url)
}

fn bad_url(why: &'static str) -> EgressError {
    EgressError::BadUrl { why }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn client(guard: &Guard, connect: Duration) -> Result<Client, EgressError> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(connect)
        .pool_idle_timeout(Duration::from_secs(60))
        .tcp_nodelay(true)
        // A proxy named by the environment would take every check away.
        .no_proxy()
        .user_agent(concat!("sidetone/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(std::sync::Arc::new(GuardedNames(guard.clone())))
        .build()
        .map_err(|error| EgressError::Setup {
            why: innermost(&error),
        })
}

struct GuardedNames(Guard);

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            // Port 0 becomes the URL's own.
            let sockets = guard.sockets(name.as_str(), 0).await?;
            let addrs: Addrs = Box::new(sockets.into_iter());
            Ok(addrs)
        })
    }
}

/// Our own refusals travel inside reqwest's error; everything else is told in one line.
fn translate(error: &reqwest::Error, host: &str) -> EgressError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(ours) = inner.downcast_ref::<EgressError>() {
            return ours.clone();
        }
        source = inner.source();
    }
    let (host, why) = (host.to_owned(), innermost(error));
    if error.is_connect() {
        return EgressError::Connect { host, why };
    }
    EgressError::Protocol { host, why }
}

/// The last cause of an error: the outer ones repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    if last.is::<reqwest::Error>() {
        return "the HTTP exchange broke off".into();
    }
    last.to_string()
}
