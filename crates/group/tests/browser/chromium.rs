//! A real browser without a screen: Debian's Chromium, driven by its `chromedriver`.
//!
//! Pages run no script here: it is switched off for every page, so that whatever works, works without.

use std::fs;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::prelude::*;

use crate::server::{PATIENCE, free_address};

/// Screens that pages must look well on: a phone, a tablet, a laptop, a large one.
const WIDTHS: [u32; 4] = [360, 768, 1280, 1920];
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest time that Chromium takes to end.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// What keeps Chromium from asking elsewhere, and from what a container does not have.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
];

/// A browser with a profile of its own.
pub struct Browser {
    /// Not dropped: that would block the runtime on whose thread it runs.
    pub driver: ManuallyDrop<WebDriver>,
    chromedriver: Child,
    control: SocketAddr,
    site: SocketAddr,
    profile: tempfile::TempDir,
    shots: PathBuf,
}

impl Browser {
    /// Starts a browser for a site on `localhost`; pictures go to `target/screenshots/NAME`.
    pub async fn start(site: SocketAddr, name: &str) -> Self {
        let profile = tempfile::tempdir().expect("a scratch directory");
        fs::create_dir(profile.path().join("downloads")).expect("makes a directory");
        let control = free_address();
        let chromedriver = Command::new("chromedriver")
            .arg(format!("--port={}", control.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts; `make deps` installs it");
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots").join(name);
        fs::create_dir_all(&shots).expect("makes a directory");
        let driver = ManuallyDrop::new(connect(control, profile.path()).await);
        let browser = Self { driver, chromedriver, control, site, profile, shots };
        // The test of this looks at it in a page.
        browser.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
        browser
    }

    /// Goes to a page of the site.
    pub async fn open(&self, path: &str) {
        let url = format!("https://localhost:{}{path}", self.site.port());
        self.driver.goto(url).await.expect("the page loads");
    }

    /// Fills in a field.
    pub async fn fill(&self, id: &str, text: &str) {
        let field = self.driver.query(By::Id(id)).first().await.expect("the field is there");
        field.clear().await.expect("can be cleared");
        field.send_keys(text).await.expect("takes keys");
    }

    /// Types into what a selector finds.
    pub async fn write(&self, selector: &str, text: &str) {
        let field = self.driver.query(By::Css(selector)).first().await.expect("is there");
        field.send_keys(text).await.expect("takes keys");
    }

    /// Presses the button with this text, as it is read aloud, and waits for the next page.
    pub async fn press(&self, text: &str) {
        let before = self.document().await;
        self.press_and_stay(text).await;
        self.wait_for_page_after(before).await;
    }

    /// Presses a button that leads to no other page.
    pub async fn press_and_stay(&self, text: &str) {
        self.click(By::XPath(format!("//button[normalize-space()='{text}']")), text).await;
    }

    /// Follows the link with this text, and waits for the next page.
    pub async fn follow(&self, text: &str) {
        let before = self.document().await;
        self.click(By::XPath(format!("//main//a[normalize-space()='{text}']")), text).await;
        self.wait_for_page_after(before).await;
    }

    async fn click(&self, by: By, text: &str) {
        let found = self.driver.query(by).first().await;
        let found = match found {
            Ok(found) => found,
            Err(_) => panic!("{text:?} is not on the page: {}", self.text().await),
        };
        found.click().await.expect("can be clicked");
    }

    /// The root of the page, which is another one for each page; none in between.
    async fn document(&self) -> Option<String> {
        self.driver.find(By::Tag("html")).await.ok().map(|root| root.element_id().to_string())
    }

    /// Waits until another page has come: chromedriver does not, where script is off.
    async fn wait_for_page_after(&self, before: Option<String>) {
        let start = Instant::now();
        loop {
            let here = self.document().await;
            let is_whole = self.driver.find(By::Css("footer")).await.is_ok();
            if here.is_some() && here != before && is_whole {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "no other page than {}", self.text().await);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns whether there is a button or link with this text.
    pub async fn offers(&self, text: &str) -> bool {
        let path = format!("//main//*[self::a or self::button][normalize-space()='{text}']");
        self.driver.find(By::XPath(path)).await.is_ok()
    }

    /// Returns what the page says; nothing between two pages.
    pub async fn text(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the page says something.
    pub async fn expect(&self, words: &str) {
        let start = Instant::now();
        while !self.text().await.contains(words) {
            assert!(start.elapsed() < PATIENCE, "no {words:?} in {}", self.text().await);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Loads a page until it says something.
    pub async fn open_until(&self, path: &str, words: &str) {
        let start = Instant::now();
        loop {
            self.open(path).await;
            if self.text().await.contains(words) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "no {words:?} in {}", self.text().await);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Checks that the page does not say something.
    pub async fn expect_no(&self, words: &str) {
        let text = self.text().await;
        assert!(!text.contains(words), "{words:?} in {text}");
    }

    /// Makes the first form of the page go elsewhere and sends it: what somebody would do who is
    /// shown no button.
    pub async fn send_form_to(&self, path: &str) {
        let script = "const form = document.querySelector('main form'); \
            form.action = arguments[0]; form.noValidate = true; form.submit()";
        let before = self.document().await;
        let sent = self.driver.execute(script, vec![json!(path)]).await;
        sent.expect("the form is sent");
        self.wait_for_page_after(before).await;
    }

    /// Waits for a download and returns its content.
    pub async fn downloaded(&self, name: &str) -> String {
        let place = self.profile.path().join("downloads").join(name);
        let start = Instant::now();
        // Chromium keeps the name by an empty file until it has written the whole beside it.
        let content = loop {
            let content = fs::read_to_string(&place).unwrap_or_default();
            if !content.is_empty() {
                break content;
            }
            assert!(start.elapsed() < PATIENCE, "{name} was not downloaded");
            tokio::time::sleep(PAUSE).await;
        };
        fs::remove_file(place).expect("goes");
        content
    }

    /// Takes pictures of the page on all screens, light and dark, and checks that nothing of it sticks
    /// out at the side.
    pub async fn look(&self, name: &str) {
        for width in WIDTHS {
            for scheme in ["light", "dark"] {
                let screen = json!({
                    "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500,
                });
                self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
                let media = json!({ "name": "prefers-color-scheme", "value": scheme });
                let media = json!({ "features": [media] });
                self.devtools("Emulation.setEmulatedMedia", media).await;
                let size = self.devtools("Page.getLayoutMetrics", json!({})).await;
                let size = &size["cssContentSize"];
                let needs = size["width"].as_f64().expect("a number");
                assert!(needs <= f64::from(width), "{name} needs {needs} of {width} pixels");
                let clip = json!({
                    "x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1,
                });
                let picture = json!({ "captureBeyondViewport": true, "clip": clip });
                let picture = self.devtools("Page.captureScreenshot", picture).await;
                let picture = picture["data"].as_str().expect("a picture").to_owned();
                self.keep(&format!("{name}-{width}-{scheme}.png"), &picture);
            }
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
    }

    fn keep(&self, name: &str, picture: &str) {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture);
        fs::write(self.shots.join(name), bytes.expect("is base64")).expect("writes");
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(method, parameters).await.expect("Chromium does it")
    }
}

/// Begins a session as soon as chromedriver listens.
async fn connect(control: SocketAddr, profile: &Path) -> WebDriver {
    let mut wishes = DesiredCapabilities::chrome();
    wishes.accept_insecure_certs(true).expect("can be wished");
    for argument in ARGUMENTS {
        wishes.add_arg(argument).expect("can be wished");
    }
    let data = profile.join("data");
    wishes.add_arg(&format!("--user-data-dir={}", data.display())).expect("can be wished");
    let settings = json!({
        "download.default_directory": profile.join("downloads"),
    });
    wishes.add_experimental_option("prefs", settings).expect("can be wished");
    let start = Instant::now();
    loop {
        match WebDriver::new(format!("http://{control}"), wishes.clone()).await {
            Ok(driver) => return driver,
            Err(error) => assert!(start.elapsed() < PATIENCE, "no browser: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Drop for Browser {
    /// Ends the session, because Chromium outlives a killed chromedriver.
    fn drop(&mut self) {
        let session = self.driver.session_id().to_string();
        if let Ok(mut stream) = TcpStream::connect(self.control) {
            let _ = stream.set_read_timeout(Some(END_PATIENCE));
            let _ = write!(stream, "DELETE /session/{session} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            // It answers when Chromium has gone.
            let _ = stream.read(&mut [0; 1]);
        }
        let _ = self.chromedriver.kill();
        let _ = self.chromedriver.wait();
    }
}
