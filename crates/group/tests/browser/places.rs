//! Accounts, settings, devices and what goes wrong: what the pages say, and how they look.

use pki::enrolment::{DeviceAnswer, DeviceRequest, DeviceTokenAnswer, DeviceTokenRequest, Message};

use crate::chromium::Browser;
use crate::client::password;
use crate::newcomer::Newcomer;
use crate::server::Server;
use crate::steps::{create, enrol, log_in, log_out, sign_up};

#[tokio::test]
async fn ns_wb_01_accounts_look_well_and_errors_say_what_to_do() {
    let server = Server::start();
    let browser = Browser::start(server.address, "account").await;
    browser.open("/signup").await;
    browser.look("sign-up").await;
    browser.fill("name", "Ana Schmidt").await;
    browser.fill("password", &password("ana")).await;
    browser.press("Sign up").await;
    browser.expect("A user name has 1 to 64 of").await;
    browser.look("sign-up-refused").await;
    sign_up(&browser, "ana").await;
    log_out(&browser).await;
    browser.look("log-in").await;

    // A page that needs an account leads to the log-in, and from there on.
    browser.open("/groups/new").await;
    browser.fill("name", "ana").await;
    browser.fill("password", "not her password").await;
    browser.press("Log in").await;
    browser.expect("User name or password is wrong").await;
    browser.look("log-in-refused").await;
    browser.fill("password", &password("ana")).await;
    browser.press("Log in").await;
    browser.expect("Create a group").await;

    browser.open("/account").await;
    browser.fill("label", "backup script").await;
    browser.press("Make token").await;
    browser.expect("wa1_").await;
    browser.look("api-token").await;
    browser.open("/account").await;
    browser.expect("backup script").await;
    browser.look("account").await;
    browser.fill("old", "not her password").await;
    browser.fill("new", "four words in a row").await;
    browser.press("Change password").await;
    browser.expect("The present password is wrong").await;
    browser.fill("old", &password("ana")).await;
    browser.fill("new", "four words in a row").await;
    browser.press("Change password").await;
    browser.expect("Your password was changed").await;
    browser.open("/no/such/page").await;
    browser.expect("Status 404").await;
    browser.look("missing").await;
}

#[tokio::test]
async fn ns_wb_02_a_group_is_made_changed_and_deleted_by_its_name() {
    let server = Server::start();
    let browser = Browser::start(server.address, "group").await;
    sign_up(&browser, "ana").await;
    browser.open("/groups/new").await;
    browser.look("create").await;
    browser.fill("name", "No such name!").await;
    browser.press("Create group").await;
    browser.expect("A group name").await;
    browser.look("create-refused").await;
    create(&browser, "team", "10.42.0.0/16").await;
    browser.open("/groups/team/settings").await;
    browser.look("settings").await;
    browser.fill("days", "14").await;
    browser.press("Save").await;
    browser.expect("The settings were saved").await;
    browser.open("/groups/team").await;
    browser.expect("live 14 days").await;
    browser.open("/groups/team/requests").await;
    browser.look("requests-empty").await;

    browser.open("/groups/team/delete").await;
    browser.fill("name", "another").await;
    browser.press("Delete for good").await;
    browser.expect("That is not the name of the group").await;
    browser.look("delete-refused").await;
    browser.fill("name", "team").await;
    browser.press("Delete for good").await;
    browser.expect("The group was deleted").await;
    browser.expect("You are in no group yet").await;
}

#[tokio::test]
async fn ns_wb_12_a_machine_that_shows_a_code_is_confirmed_in_the_browser() {
    let server = Server::start();
    let browser = Browser::start(server.address, "device").await;
    sign_up(&browser, "ana").await;
    create(&browser, "team", "10.42.0.0/16").await;
    let mut machine = Newcomer::new(&server, "");
    let asked = DeviceRequest::new("team", Some("ana-laptop")).expect("a group");
    let shown = machine.post("/enrol/v1/device", &asked).expect(200);
    let shown = DeviceAnswer::from_json(shown.body.as_bytes()).expect("a code");

    browser.open("/device").await;
    browser.look("device").await;
    browser.fill("code", &shown.user_code.to_string()).await;
    browser.press("Next").await;
    browser.expect("Is this your machine?").await;
    browser.expect("ana-laptop").await;
    browser.look("device-confirm").await;
    browser.press("Yes, it is mine").await;
    browser.expect("The machine goes on by itself").await;
    let poll = DeviceTokenRequest { device_code: shown.device_code };
    let answer = machine.post("/enrol/v1/device/token", &poll).expect(200);
    let answer = DeviceTokenAnswer::from_json(answer.body.as_bytes()).expect("a blob");
    enrol(&server, &answer.blob, "ana-laptop");
    browser.open("/groups/team").await;
    browser.expect("ana-laptop").await;
}

#[tokio::test]
async fn ns_wb_01_no_script_runs_in_these_tests() {
    let server = Server::start();
    let browser = Browser::start(server.address, "script").await;
    let page = "data:text/html,<title>off</title><script>document.title='on'</script>";
    let title = async || browser.driver.title().await.expect("has a title");
    browser.driver.goto(page).await.expect("loads");
    assert_eq!(title().await, "off");
    // Nor after pages of the site, which other processes of the browser show.
    sign_up(&browser, "ana").await;
    log_out(&browser).await;
    log_in(&browser, "ana").await;
    browser.driver.goto(page).await.expect("loads");
    assert_eq!(title().await, "off");
}
