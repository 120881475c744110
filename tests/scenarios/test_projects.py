"""Every route × callers who are limited to the project `alpha` × what belongs to the project `bravo`.

No answer to such a caller may have a word of `bravo` in it: every name, reason and note of that project has this word.
Some images are in both projects; an external pipeline of `bravo` calls itself `alpha`.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.projects_site import BRAVO_CVE, CVE, LIMITED, Projects
from tests.scenarios.route_table import ROUTES, V
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_findings import make_trivy_report


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Projects]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        projects_of_server = Projects(server)
        yield projects_of_server
        projects_of_server.client.close()


def iterate_paths(projects: Projects) -> Iterator[str]:
    """Every path that can be read, with values of `alpha` and of images in both projects; lists with their filters."""
    for route in ROUTES:
        method, _, template = route.partition(" ")
        if method != "GET" or template in ("/live", "/signin/provider/return"):
            continue
        for image in (projects.values["alpha"]["digest"], projects.shared_image):
            # The newest verdict of each repository; a route without a digest has one path.
            verdicts = projects.server.store.verdicts.list_of_image(image)
            for verdict in {record.repository: record for record in reversed(verdicts)}.values():
                is_verdict = "/verdicts/" in template
                values = {**projects.values["alpha"], "digest": verdict.digest if is_verdict else image}
                yield re.sub(r"\{(\w+)(:path)?\}", lambda match: values.get(match[1], "none"), template)  # noqa: B023
        absent = dict.fromkeys(("name", "repository", "execution_id", "approval_id"), "alpha-9")
        values = {**projects.values["alpha"], **absent, "digest": projects.unknown}
        yield re.sub(r"\{(\w+)(:path)?\}", lambda match: values.get(match[1], "none"), template)  # noqa: B023
    start = projects.shared_image[7:13], projects.bravo_only[7:13], projects.values["bravo"]["verdict"][7:13]
    name = projects.values["bravo"]["execution_id"]
    for prefix in ("", V):
        yield f"{prefix}/images?limit=1000"
        for query in ("include_moved=true", "sort=severity", "sort=name", "repository=brav*", "repository=*/*"):
            yield f"{prefix}/images?{query}"
        for query in (
            "running=true",
            "severity=CRITICAL",
            "fixable=true",
            "package=critical-fixed-0",
            "status=Approved",
        ):
            yield f"{prefix}/images?{query}&include_moved=true"
        for query in ("q=CVE-", "severity=HIGH", "only=fixable", "only=exploited", "sort=name", "sort=epss", "limit=1"):
            yield f"{prefix}/vulnerabilities?{query}"
    for question in (CVE, "critical-fixed-0", "pkg:deb/debian/critical-fixed-0", "brav", "only-bravo"):
        yield f"{V}/exposure?q={question}&include_moved=true"
        yield f"{V}/packages?q={question}"
        for form in ("html", "csv", "json"):
            yield f"/exposure/report?q={question}&form={form}"
        yield f"/packages/{question}"
    yield "/running/shop"
    yield f"{V}/services/shop"
    yield f"/vulnerabilities/{CVE}"
    yield f"{V}/vulnerabilities/{CVE}"
    yield f"{V}/events?after=0&limit=1000"
    yield f"{V}/approvals?limit=1000"
    for words in (*start, "brav", name, projects.waiver):
        yield f"/search?q={words}"
    for kind in ("image", "verdict"):
        for digits in start:
            yield f"{V}/digests/{kind}/{digits}"
            yield f"{V}/image-references?name={digits}"


def require_no_leaks(projects: Projects, calls: Iterable[tuple[str, str]]) -> None:
    """Fail if an answer to one of these paths and callers names something of the other project."""
    leaks = []
    for path, who in calls:
        answer = projects.get(path, who)
        assert answer.status < 500, (path, answer.text)
        if match := re.search(r".{0,80}bravo.{0,80}", answer.text):
            leaks.append((path, who, match[0]))
        if projects.bravo_only in answer.text:
            leaks.append((path, who, projects.bravo_only))
    assert not leaks, "\n".join(f"{path} by {who}: {text}" for path, who, text in leaks)


def test_no_answer_names_what_is_in_another_project(projects: Projects) -> None:
    """The token that reaches most asks all, the others in turns; tests/slow has each of them ask all."""
    other_callers = itertools.cycle([who for who in LIMITED if who != "token"])
    paths = dict.fromkeys(iterate_paths(projects))
    require_no_leaks(projects, [(path, who) for path in paths for who in ("token", next(other_callers))])


@pytest.mark.parametrize("who", [*LIMITED, "admin"])
def test_vulnerabilities_are_those_of_the_own_images(projects: Projects, who: str) -> None:
    """A pipeline alone covers no image repository: its token sees no vulnerability, as it sees no image."""

    def list_page(query: str) -> dict[str, int]:
        entries = projects.call("GET", f"/vulnerabilities?{query}", who).json()["vulnerabilities"]
        return {entry["name"]: entry["images"] for entry in entries}

    own_images, high_ones = projects.call("GET", "/images?limit=1000", who).json()["images"], list_page("severity=HIGH")
    has_images, sees_all = bool(own_images), who == "admin"
    everything = list_page("limit=1000")
    assert (CVE in everything) == has_images
    assert (BRAVO_CVE in everything) == sees_all
    assert high_ones == ({BRAVO_CVE: 1} if sees_all else {})
    assert bool(list_page(f"q={BRAVO_CVE}")) == sees_all
    if has_images:
        answer = projects.call("GET", f"/exposure?q={CVE}&limit=1000", who).json()
        assert everything[CVE] == answer["total"] == len(answer["images"])
    pages, cursor = dict[str, int](), ""
    while cursor is not None:
        page = projects.call("GET", f"/vulnerabilities?limit=1&after={cursor}", who).json()
        pages |= {entry["name"]: entry["images"] for entry in page["vulnerabilities"]}
        cursor = page["next"]
    assert pages == everything
    page = projects.get("/vulnerabilities", who)
    assert page.status == 200
    assert set(re.findall(r"/vulnerabilities/(CVE-[0-9-]+)", page.text)) == set(everything)


@pytest.mark.parametrize("who", ["repository token", "token", "project"])
def test_findings_over_time_are_those_of_the_own_repositories(projects: Projects, who: str) -> None:
    for project, status in (("alpha", 200), ("bravo", 403)):
        for path in (
            f"/repository-findings?repository={project}/base",
            f"/tag-findings?repository={project}/base&tag=1",
        ):
            assert projects.call("GET", path, who).status_code == status, path
            assert projects.call("GET", path, "admin").status_code == 200, path
            assert projects.call("GET", path, "pipeline token").status_code == 403, path


@pytest.mark.parametrize("who", LIMITED)
def test_the_state_of_the_feeds_is_shown_to_every_reader(projects: Projects, who: str) -> None:
    answer = projects.get("/advisories", who)
    assert answer.status == 200
    assert "Debian" in answer.text
    assert 'action="/advisories/update"' not in answer.text
    for path in ("/vulnerabilities", "/advisories"):
        assert f'href="{path}"' in answer.text
    headers = {**projects.make_headers(who), "Sec-Fetch-Site": "same-origin"}
    assert projects.client.post("/advisories/update", headers=headers).status_code == 403


def test_an_admin_sees_every_project(projects: Projects) -> None:
    """What the test above looks for is there."""
    paths = (path for path in dict.fromkeys(iterate_paths(projects)) if "bravo" in projects.get(path, "admin").text)
    assert len(list(itertools.islice(paths, 21))) > 20


@pytest.mark.parametrize("who", ["repository token", "token", "project"])
def test_of_a_service_that_ran_an_image_of_another_project_the_own_part_is_shown(projects: Projects, who: str) -> None:
    for caller, revisions, deployed_by in ((who, [3], None), ("admin", [3, 2, 1], "bravo")):
        view = projects.call("GET", "/services/shop", caller).json()
        assert [definition["revision"] for definition in view["definitions"]] == revisions
        assert len(view["rollouts"]) == len(view["events"]) == (caller == "admin")
        exposure = projects.call("GET", f"/exposure?q={CVE}", caller).json()
        pipelines = {entry["service"]: entry["pipeline"] for entry in exposure["services"]}
        assert pipelines["shop"] == deployed_by


@pytest.mark.parametrize("who", LIMITED)
def test_what_is_in_another_project_is_answered_like_what_does_not_exist(projects: Projects, who: str) -> None:
    def ask(name: str, number: int) -> list[tuple[int, str]]:
        approval = f"/approvals/{name}-{number}/ContainerVulnerabilityAssessment/Approval/1"
        image = f"{projects.server.registry.address}/alpha/base@{projects.shared_image}"
        request = {"pipeline": "alpha", "stage": "s", "execution": f"oracle-{who}", "image": image, "service": name}
        reason = {"reason": "x", "until": "2999-01-01"}
        calls: list[tuple[str, str, object]] = [("GET", f"{approval}{end}", None) for end in ("", "/votes", "/answer")]
        calls += [("POST", f"{approval}/vote", {"is_yes": True}), ("POST", f"{approval}/override", reason)]
        calls += [("POST", f"{approval}/reject", {"token": "x", **reason}), ("GET", f"/services/{name}", None)]
        answers = [projects.call(*call[:2], who, call[2]) for call in calls]
        if who != "pipeline token":  # reaches no repository, so it cannot request
            answers.append(projects.call("POST", "/approvals", who, request))
        return [
            (answer.status_code, answer.text.replace(f"{name}-{number}", "").replace(name, "")) for answer in answers
        ]

    for path in (f"/approvals/{projects.values['bravo']['approval_id']}", "/services/bravo"):
        assert projects.call("GET", path, "admin").status_code == 200
    answers = ask("bravo", 1)
    assert {status for status, _ in answers} == {404}, answers
    assert answers == ask("nonesuch", 9)


def test_a_caller_who_may_read_an_approval_is_denied_more(projects: Projects) -> None:
    roles = [{"role": "approver", "repositories": "alpha*"}]
    projects.post("/principals", {"name": "reader", "roles": ["viewer"], "project_roles": roles})
    projects.tokens["reader"] = projects.post("/tokens", {"principal": "reader"})["text"]
    path = f"/approvals/{projects.values['bravo']['approval_id']}"
    assert projects.call("GET", path, "reader").status_code == 200
    assert projects.call("POST", f"{path}/vote", "reader", {"is_yes": True}).status_code == 403


@pytest.mark.parametrize("who", LIMITED)
def test_a_self_chosen_name_of_a_pipeline_opens_no_other_repository(projects: Projects, who: str) -> None:
    body = {"pipeline": "alpha", "stage": "s", "execution": f"forged-{who}", "service": "bravo"}
    image = f"{projects.server.registry.address}/bravo/base@{projects.bravo_only}"
    answer = projects.call("POST", "/approvals", who, {**body, "image": image})
    assert answer.status_code == 403, answer.text
    for path in (f"/images/{projects.bravo_only}", f"/images/{projects.bravo_only}/findings"):
        answer = projects.call("GET", path, who)
        assert answer.status_code == 403, answer.text
        assert "bravo" not in answer.text


@pytest.mark.parametrize("who", LIMITED)
def test_naming_an_own_repository_opens_no_image_of_another(projects: Projects, who: str) -> None:
    """The digest may be known: from a log, a build that gives the same bytes again, or a message."""
    unread_image = projects.unread_image
    for image in (projects.bravo_only, unread_image, projects.unknown):
        answer = projects.call("POST", f"/images/{image}/scan", who, {"repository": "alpha/empty"})
        assert answer.status_code in (403, 404), answer.text
        body = {"pipeline": "alpha", "stage": "s", "execution": f"empty-{who}-{image[7:15]}"}
        reference = f"{projects.server.registry.address}/alpha/empty@{image}"
        answer = projects.call("POST", "/approvals", who, {**body, "image": reference})
        assert answer.status_code in (403, 404), answer.text
        assert projects.call("GET", f"/images/{image}", who).status_code == 403
    scan = projects.server.store.images.find_newest_scan(unread_image)
    assert scan is not None
    assert scan.repository == "bravo/base"
    assert projects.server.store.images.find_newest_scan(projects.unknown) is None


@pytest.mark.parametrize("who", LIMITED)
def test_a_report_on_an_image_that_is_elsewhere_too_is_refused(projects: Projects, who: str) -> None:
    """It would count there: it can reject an image, and vouch for one that could not be read."""
    report = {"SchemaVersion": 2, "ArtifactName": "x", "Results": []}
    for image in (projects.shared_image, projects.promoted_image):
        answer = projects.call("POST", f"/images/{image}/findings", who, report)
        assert answer.status_code == 403, answer.text
        assert not projects.server.store.reports.list_for_image(image)


def test_an_assignment_for_others_too_names_none_of_them(projects: Projects) -> None:
    document = """\
kind: PolicyAssignment
name: {}
repositories: [{}]
policy: default
allowed:
- {{policies: [bravo-rules], principals: [bravo-lead]}}
- {{policies: [reference-2022], principals: [project, bravo-lead]}}
owners: [bravo-lead]
"""
    projects.post("/principals", {"name": "bravo-lead", "roles": ["viewer"]})
    for name, repositories in (("both", "alpha/base, bravo/other/**"), ("own", "alpha/lead")):
        content = document.format(name, repositories)
        projects.client.post(f"{V}/apply", content=content, headers=projects.make_headers("admin")).raise_for_status()
    try:
        assignments = {entry["name"]: entry for entry in projects.call("GET", "/policy-assignments", "project").json()}
        full = {entry["name"]: entry for entry in projects.call("GET", "/policy-assignments", "admin").json()}
    finally:
        for name in ("both", "own"):
            path = f"{V}/policy-assignments/{name}"
            projects.client.delete(path, headers=projects.make_headers("admin")).raise_for_status()
    both = assignments["both"]
    assert (both["repositories"], both["owners"]) == (["alpha/base"], [])
    (allowed_policies,) = both["allowed"]
    assert (allowed_policies["policies"], allowed_policies["principals"]) == (["reference-2022"], ["project"])
    assert (assignments["own"], full["both"]["owners"]) == (full["own"], ["bravo-lead"])


def test_a_report_vouches_only_where_its_author_may_accept_risks(projects: Projects) -> None:
    """It was uploaded before the image was pushed to the repository of the other project."""
    limits = (("security", "alpha/*"), ("developer", "alpha/*"), ("developer", "bravo/*"))
    roles = [{"role": role, "repositories": repositories} for role, repositories in limits]
    projects.post("/principals", {"name": "eve", "roles": [], "project_roles": roles})
    projects.tokens["eve"] = projects.post("/tokens", {"principal": "eve"})["text"]
    image = projects._plan_foreign_image("moved", PlannedFindings(status="STRANGE"))
    projects.push(image, "alpha/moved", "1")
    report = make_trivy_report(projects.server, image)
    answer = projects.client.post(f"{V}/images/{image}/findings", content=report, headers=projects.make_headers("eve"))
    assert (answer.status_code, answer.json()[0]["is_vouched"]) == (201, True)
    projects.push(image, "bravo/moved", "1")
    for repository, state in (("alpha/moved", "Approved"), ("bravo/moved", "Rejected")):
        reference = f"{projects.server.registry.address}/{repository}@{image}"
        body = {"pipeline": "p", "stage": "s", "execution": repository, "image": reference}
        approval = projects.call("POST", "/approvals", "eve", body).json()["approval"]["id"]
        answer = projects.call("GET", f"/approvals/{approval}/answer?wait=20", "eve")
        assert answer.json()["state"] == state, answer.text


def test_each_repository_of_an_image_has_its_own_verdicts(projects: Projects) -> None:
    """By their own policies: one of `bravo` approves what the one of `alpha` rejects."""
    page = projects.call("GET", "/images?repository=*/base", "admin").json()
    states = {(entry["repository"], entry["digest"]): entry["status"] for entry in page["images"]}
    assert states["bravo/base", projects.shared_image] == "Approved"
    assert states["alpha/base", projects.shared_image] == "Rejected"
    view = projects.call("GET", f"/images/{projects.shared_image}", "project").json()
    assert {record["repository"] for record in view["verdicts"]} == {"alpha/base"}
    assert view["status"] == "Rejected"
    view = projects.call("GET", f"/images/{projects.shared_image}", "admin").json()
    assert {record["repository"] for record in view["verdicts"]} == {"alpha/base", "bravo/base"}


def test_the_page_of_an_image_is_that_of_the_repository_that_links_to_it(projects: Projects) -> None:
    def read(path: str, who: str = "admin") -> httpx.Response:
        return projects.client.get(path, headers=projects.make_headers(who))

    path = f"/images/{projects.shared_image}"
    for repository, status in (("bravo/base", "Approved"), ("alpha/base", "Rejected")):
        link = f"{path}?repository={repository}"
        assert f'href="{link}"' in read(f"/images?repository={repository}").text
        for address in (repository, f"{projects.server.registry.address}/{repository}"):
            view = projects.call("GET", f"{path}?repository={address}", "admin").json()
            assert (view["repository"], view["status"]) == (repository, status)
            assert {record["repository"] for record in view["verdicts"]} == {repository}
        page = read(link).text
        head = page.partition('<div class="head">')[2].partition("<section")[0]
        name = re.sub("<[^>]+>", "", head.partition("<h1>")[2].partition("</h1>")[0])
        assert (name, re.findall(r'class="chip [^"]*">(?:<[^>]+>)*([A-Z]\w+)', head)[0]) == (f"{repository}:1", status)
        assert f"dockgate image show {repository}@{projects.shared_image}" in page
        assert f"/api/v1{link}" in page
    response = read(f"{path}?repository=bravo/base", "project")
    assert (response.status_code, response.headers["location"]) == (303, path)
    own_page = read(path, "project").text
    assert "alpha/" in own_page.partition("<h1>")[2].partition("</h1>")[0]
    assert "bravo" not in own_page


@pytest.mark.parametrize("who", LIMITED)
def test_messages_name_nothing_of_another_project(projects: Projects, who: str) -> None:
    image = f"{projects.server.registry.address}/alpha/base@{projects.shared_image}"
    body = {"pipeline": "alpha", "stage": "s", "execution": f"names-{who}", "image": image}
    for fields in ({"policy": "none"}, {"service": "none"}, {"policy": "bravo-rules"}):
        answer = projects.call("POST", "/approvals", who, {**body, **fields})
        assert answer.status_code >= 400
        assert fields.get("policy") == "bravo-rules" or "bravo" not in answer.text, answer.text


@pytest.mark.parametrize("who", LIMITED)
def test_a_pull_check_says_nothing_of_an_image_that_is_elsewhere(projects: Projects, who: str) -> None:
    """`alpha/empty` gives out approved images only, so the answer says what the policy found."""
    for image in (projects.bravo_only, projects.unknown):
        answer = projects.call("GET", f"/registry/repositories/alpha/empty/pull/{image}", who)
        assert answer.status_code in (403, 404), answer.text


def test_a_token_for_a_pipeline_does_not_define_it(projects: Projects) -> None:
    """Its definition may name any repository and service."""
    page = projects.client.get("/pipelines/alpha/definition", headers=projects.make_headers("pipeline token"))
    assert page.is_success
    assert '<form method="post" action="/pipelines/alpha/definition"' not in page.text
    text = PIPELINE.format(name="alpha", repository="bravo", service="bravo", timeout="7d")
    headers = {**projects.make_headers("pipeline token"), "Sec-Fetch-Site": "same-origin"}
    fields = {"text": text, "version": "1"}
    answer = projects.client.post("/pipelines/alpha/definition", data=fields, headers=headers)
    assert answer.status_code == 403
    assert projects.server.store.pipelines.get("alpha").version == 1
