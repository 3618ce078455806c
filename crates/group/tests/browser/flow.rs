//! Two users and two groups go all the way: from the sign-up to the end of a group.

use crate::chromium::Browser;
use crate::server::Server;
use crate::steps::{ask, create, enrol, log_in, log_out, sign_up};

#[tokio::test]
async fn ns_wb_05_two_users_and_two_groups_go_all_the_way_through_the_pages() {
    let server = Server::start();
    let browser = Browser::start(server.address, "flow").await;

    sign_up(&browser, "ana").await;
    browser.expect("You are in no group yet").await;
    browser.look("home-empty").await;
    create(&browser, "team", "10.42.0.0/16").await;
    browser.look("group-new").await;
    log_out(&browser).await;

    // Ben has a group of his own, and asks to join the other; he reads nothing of it yet.
    sign_up(&browser, "ben").await;
    create(&browser, "lab", "10.43.0.0/16").await;
    ask(&browser, "team", "I run the caches of the team.").await;
    browser.look("asked").await;
    browser.open("/groups/team/requests").await;
    browser.expect("Status 403").await;
    browser.look("failure").await;
    log_out(&browser).await;

    // Eve asks too. She sees neither the reason of another nor the members.
    sign_up(&browser, "eve").await;
    ask(&browser, "team", "Let me in.").await;
    browser.expect_no("caches").await;
    browser.open("/groups/team/members").await;
    browser.expect("Status 403").await;
    log_out(&browser).await;

    decide(&browser).await;
    let blob_of_ben = download(&browser, "ben").await;
    denied(&browser).await;

    // Ana's blob is another one. Both machines appear on her page.
    let blob_of_ana = download(&browser, "ana").await;
    assert_ne!(blob_of_ana, blob_of_ben);
    enrol(&server, &blob_of_ana, "ana-laptop");
    enrol(&server, &blob_of_ben, "ben-nas");
    revoke(&browser).await;
}

/// Ana reads both reasons, lets Ben in and makes him an administrator, who turns Eve away.
async fn decide(browser: &Browser) {
    log_in(browser, "ana").await;
    browser.look("home").await;
    browser.follow("2 requests").await;
    browser.expect("I run the caches of the team.").await;
    browser.look("requests").await;
    browser.press("Approve ben").await;
    browser.expect("The request was approved").await;
    browser.open("/groups/team/members").await;
    browser.press("Promote ben").await;
    browser.expect("an administrator now").await;
    browser.look("members").await;
    browser.open("/groups/lab").await;
    browser.expect("You are not a member of this group").await;
    log_out(browser).await;

    log_in(browser, "ben").await;
    browser.open("/groups/team/requests").await;
    browser.write("main input[name=note]", "Please ask with your work account.").await;
    browser.press("Deny eve").await;
    browser.expect("The request was denied").await;
    browser.look("requests-decided").await;
    log_out(browser).await;
}

/// A member downloads a blob.
async fn download(browser: &Browser, name: &str) -> String {
    log_in(browser, name).await;
    browser.open("/groups/team").await;
    browser.press_and_stay("Download blob").await;
    let blob = browser.downloaded("team.yaml").await;
    log_out(browser).await;
    blob
}

/// Who was denied gets no blob, however it is asked for.
async fn denied(browser: &Browser) {
    log_in(browser, "eve").await;
    browser.open("/groups/team").await;
    browser.expect("Please ask with your work account.").await;
    assert!(!browser.offers("Download blob").await);
    browser.look("denied").await;
    browser.send_form_to("/groups/team/blob").await;
    browser.expect("Status 403").await;
    log_out(browser).await;
}

/// Ana puts out a machine of Ben's, after a question.
async fn revoke(browser: &Browser) {
    log_in(browser, "ana").await;
    browser.open("/groups/team/revocations").await;
    browser.look("revocations-empty").await;
    browser.open("/groups/team").await;
    browser.expect("ana-laptop").await;
    browser.look("group").await;
    browser.follow("ben-nas").await;
    browser.look("node").await;
    browser.follow("Revoke this node").await;
    browser.look("revoke").await;
    browser.follow("Cancel").await;
    browser.open("/groups/team/revocations").await;
    browser.expect("Nobody was put out").await;
    browser.open("/groups/team").await;
    browser.follow("ben-nas").await;
    browser.follow("Revoke this node").await;
    browser.fill("reason", "Lost on the train.").await;
    browser.press("Revoke").await;
    browser.expect("Notice 1").await;
    browser.expect("Lost on the train.").await;
    browser.look("revocation").await;
    browser.open("/groups/team/revocations").await;
    browser.look("revocations").await;
    browser.open("/groups/team").await;
    browser.expect("revoked").await;
    browser.open("/groups/team/tokens").await;
    browser.look("tokens").await;
    browser.open("/groups/team/audit").await;
    browser.expect("Lost on the train.").await;
    browser.look("audit").await;
}

#[tokio::test]
async fn ns_wb_04_the_last_administrator_cannot_be_demoted_by_accident() {
    let server = Server::start();
    let browser = Browser::start(server.address, "roles").await;
    sign_up(&browser, "ana").await;
    create(&browser, "team", "10.42.0.0/16").await;
    log_out(&browser).await;
    sign_up(&browser, "ben").await;
    ask(&browser, "team", "I work here.").await;
    log_out(&browser).await;

    log_in(&browser, "ana").await;
    browser.open("/groups/team/requests").await;
    browser.press("Approve ben").await;
    browser.open("/groups/team/members").await;
    assert!(!browser.offers("Demote ana").await, "she is the only one");
    browser.press("Promote ben").await;
    browser.follow("Demote ben").await;
    browser.expect("Demote ben?").await;
    browser.look("demote").await;
    browser.press("Demote").await;
    browser.expect("an ordinary member now").await;

    // Not by a page that was left open either.
    browser.open("/groups/team/members/1/demote").await;
    browser.press("Demote").await;
    browser.expect("at least one administrator").await;
    browser.open("/groups/team/leave").await;
    browser.press("Leave").await;
    browser.expect("at least one administrator").await;
    browser.look("leave-refused").await;
    log_out(&browser).await;

    leave_and_be_removed(&browser).await;
}

/// Ben leaves, comes back, and is put out.
async fn leave_and_be_removed(browser: &Browser) {
    log_in(browser, "ben").await;
    browser.open("/groups/team/members").await;
    browser.follow("Leave").await;
    browser.look("leave").await;
    browser.press("Leave").await;
    browser.expect("You have left the group").await;
    ask(browser, "team", "I was too quick.").await;
    log_out(browser).await;

    log_in(browser, "ana").await;
    browser.open("/groups/team/requests").await;
    browser.press("Approve ben").await;
    browser.open("/groups/team/members").await;
    browser.follow("Remove ben").await;
    browser.look("remove").await;
    browser.press("Remove").await;
    browser.expect("was removed").await;
    browser.open("/groups/team/members").await;
    browser.expect_no("ben").await;
}
