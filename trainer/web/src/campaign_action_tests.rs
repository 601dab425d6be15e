//! A group with a campaign, and people → what each may do with it on pages and by the API.

use crate::testing::send;
use crate::{Site, WebServer};
use lapwing_campaigns::testing::{NEXT, Stage};
use lapwing_campaigns::{Order, start};
use lapwing_common::clock;
use lapwing_fleet::campaign::{CampaignState, Plan};
use lapwing_people::{HashedPassword, Role, Secret};
use lapwing_store::NewToken;

struct Scene {
    stage: Stage,
    server: WebServer,
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::new(20, clock::now_s());
        for (name, role) in [("olga", Role::Operator), ("ann", Role::Administrator), ("bob", Role::Administrator)] {
            let link = [name.as_bytes()[0]; 32];
            stage.handle.add_person(name, role, &link, "root", clock::now_s()).unwrap();
            stage.handle.use_link(&link, name, &HashedPassword("x".into()), clock::now_s()).unwrap();
        }
        let site = Site { store: Some(stage.folder.store().into()), ..Site::default() };
        let server = WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { stage, server }
    }

    fn start(&self, plan: Plan) {
        let order = Order { group: "home", version: NEXT, plan, who: "ann", supersede: false, findings: &[] };
        start(&self.stage.handle, &order, clock::now_s()).unwrap();
    }

    /// Sends a form in a session, or reads a page without one.
    fn page(&self, name: &str, path: &str, form: Option<&str>) -> (u16, String) {
        let secret = Secret::new(lapwing_authority::random().unwrap());
        let verified = HashedPassword("x".into());
        assert!(self.stage.handle.open_session(name, &verified, &secret.sha256(), name, clock::now_s()).unwrap());
        let cookie = format!("lapwing-session={}", secret.text());
        let method = if form.is_some() { "POST" } else { "GET" };
        let headers = [
            ("Host", "localhost"),
            ("Cookie", &cookie),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let answer = send(self.server.address, &format!("{method} {path}"), &headers, form.unwrap_or_default());
        (answer.0, answer.2)
    }

    /// Sends JSON with a token.
    fn api(&self, name: &str, path: &str, body: &str) -> (u16, String) {
        let secret = Secret::new(lapwing_authority::random().unwrap());
        let until_s = clock::now_s() + 60;
        let role = Role::Administrator;
        let new = NewToken { secret: &secret.sha256(), person: name, label: "test", role, until_s };
        self.stage.handle.add_api_token(&new, name, clock::now_s()).unwrap();
        let token = format!("Bearer {}", secret.token());
        let headers = [("Host", "localhost"), ("Authorization", &token), ("Content-Type", "application/json")];
        let answer = send(self.server.address, &format!("POST {path}"), &headers, body);
        (answer.0, answer.2)
    }

    fn state(&self) -> CampaignState {
        self.stage.handle.campaigns(Some("home"), 1).unwrap().remove(0).campaign.state()
    }

    /// The hidden fields of the confirmation page, and the decision.
    fn form(&self, name: &str, path: &str, decision: &str) -> String {
        let (status, page) = self.page(name, path, None);
        assert_eq!(status, 200, "{page}");
        let field = |field: &str| {
            let start = format!("name=\"{field}\" value=\"");
            page.split(&start).nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        format!("id={}&revision={}&decision={decision}", field("id"), field("revision"))
    }
}

#[test]
fn an_operator_pauses_and_an_administrator_resumes_the_campaign_that_the_page_showed() {
    let scene = Scene::new();
    scene.start(Plan::default());
    let page = scene.page("olga", "/campaigns/1", None).1;
    assert!(page.contains("href=\"/campaigns/home/pause\"") && !page.contains("href=\"/campaigns/home/resume\""));
    let pause = scene.form("olga", "/campaigns/home/pause", "pause");
    assert_eq!(scene.page("olga", "/campaigns/home/pause", Some(&pause)).0, 303);
    assert_eq!(scene.state(), CampaignState::Paused);
    assert_eq!(scene.page("olga", "/campaigns/home/resume", None).0, 403);
    assert_eq!(scene.page("olga", "/campaigns/home/resume", Some(&pause.replace("=pause", "=resume"))).0, 403);
    // The route of an action an operator may take does not take another decision.
    assert_eq!(scene.page("olga", "/campaigns/home/pause", Some(&pause.replace("=pause", "=resume"))).0, 400);
    assert_eq!(
        scene.page("ann", "/campaigns/home/resume", Some(&pause.replace("=pause", "=resume"))).0,
        409,
        "changed"
    );
    let resume = scene.form("ann", "/campaigns/home/resume", "resume");
    assert_eq!(scene.page("ann", "/campaigns/home/resume", Some(&resume)).0, 303);
    assert_eq!(scene.state(), CampaignState::Running);
    let history = scene.page("ann", "/campaigns/1", None).1;
    assert!(history.contains("olga (page)") && history.contains("ann (page)"), "{history}");
    scene.server.stop().unwrap();
}

#[test]
fn an_abort_first_shows_how_many_agents_go_back() {
    let scene = Scene::new();
    scene.start(Plan::default());
    let page = scene.page("olga", "/campaigns/home/abort", None).1;
    assert!(page.contains("0 agents go back to release 3; 0 of them when they return."), "{page}");
    assert!(page.contains("value=\"stop\"") && page.contains("value=\"withdraw\""));
    let form = scene.form("olga", "/campaigns/home/abort", "withdraw");
    assert_eq!(scene.page("olga", "/campaigns/home/abort", Some(&form)).0, 303);
    assert!(scene.state() != CampaignState::Running);
    scene.server.stop().unwrap();
}

#[test]
fn another_person_approves_on_a_page_or_by_the_api() {
    let scene = Scene::new();
    scene.start(Plan { approval: true, ..Plan::default() });
    let approve = "/api/v1/campaigns/home/approve";
    assert_eq!(scene.api("olga", approve, "{\"decision\": \"approve\"}").0, 403, "an operator");
    let (status, text) = scene.api("ann", approve, "{\"decision\": \"approve\"}");
    assert!(status == 409 && text.contains("another person"), "{text}");
    assert_eq!(scene.api("bob", approve, "{\"decision\": \"withdraw\"}").0, 400);
    let (status, text) = scene.api("bob", approve, "{\"decision\": \"approve\"}");
    assert!(status == 200 && text.contains("\"version\":4"), "{text}");
    assert_eq!(scene.state(), CampaignState::Running);
    let who = scene.stage.handle.transitions(1, 1).unwrap().remove(0).who.unwrap();
    assert!(who.starts_with("bob (token "), "{who}");
    scene.server.stop().unwrap();
}

#[test]
fn an_administrator_starts_a_campaign_after_seeing_its_waves() {
    let scene = Scene::new();
    assert_eq!(scene.page("olga", "/campaigns/home/start/4", None).0, 403);
    assert_eq!(scene.page("ann", "/campaigns/home/start/9", None).0, 404);
    assert_eq!(scene.page("ann", "/campaigns/home/pause", None).0, 404, "nothing is open");
    let page = scene.page("ann", "/campaigns/home/start/4", None).1;
    assert!(page.contains("Release 4 replaces release 3 on 20 agents"), "{page}");
    assert_eq!(scene.page("ann", "/campaigns/home/start/4", Some("")).0, 303);
    assert_eq!(scene.state(), CampaignState::Running);
    assert_eq!(scene.page("ann", "/campaigns/home/start/4", Some("")).0, 409, "one is open");
    let again = scene.page("ann", "/campaigns/home/start/4", None).1;
    assert!(again.contains("This ends the campaign of release 4"), "{again}");
    assert_eq!(scene.api("ann", "/api/v1/campaigns/home/start", "{\"version\": 4, \"supersede\": true}").0, 200);
    scene.server.stop().unwrap();
}
