"""Every route of the server, with the permission that it needs and what limits it."""

from typing import NamedTuple

from dockgate.identity.model import Permission

READ, RUN, DECIDE, ACCEPT, ADMINISTER = Permission
V = "/api/v1"
NEVER, ALWAYS, REPOSITORY, PIPELINE, BOTH = "never", "always", "repository", "pipeline", "repository or pipeline"


class Row(NamedTuple):
    """A route's permission. `alternative` is a second sufficient permission. `permission` None: the route is open to
    all, and authenticates callers itself if needed. `refusal` is the status for callers whose limits do not reach what
    the call is about: 404 hides whether it exists."""

    permission: Permission | None
    reach: str = NEVER
    alternative: Permission | None = None
    refusal: int = 403


OPEN = Row(None)
ALLOWED_AND_REFUSED = 409
ROUTES = {
    f"GET {V}/health": OPEN,
    "POST /registry/events": OPEN,  # the registry's secret
    "POST /registry/{form}/{registry}": OPEN,  # the secret of that registry
    "GET /registry/token": Row(READ, ALWAYS),  # what it grants is decided by scope
    f"GET {V}/registry/repositories": Row(READ, ALWAYS),  # those that the token may see
    f"GET {V}/registry/repositories/{{repository:path}}/pull/{{digest}}": Row(READ, REPOSITORY),
    f"GET {V}/registries/pushes": Row(READ, ALWAYS),  # those that the token may see
    f"POST {V}/registry-key": Row(ADMINISTER),
    f"GET {V}/openapi.json": Row(READ, ALWAYS),
    f"GET {V}/status": Row(READ, ALWAYS),
    f"GET {V}/caller": Row(READ, ALWAYS),
    f"GET {V}/workers": Row(READ),
    f"GET {V}/gc": Row(ADMINISTER),
    f"POST {V}/gc": Row(ADMINISTER),
    f"POST {V}/feeds/update": Row(ACCEPT),
    f"GET {V}/search": Row(READ, ALWAYS),  # of what the caller may see
    f"GET {V}/vulnerabilities": Row(READ, ALWAYS),  # of what the caller may see
    f"GET {V}/repositories/{{name}}/tree": Row(READ, REPOSITORY),
    f"GET {V}/repositories/{{name}}/commits": Row(READ, REPOSITORY),
    f"GET {V}/repositories/{{name}}/commits/{{commit}}": Row(READ, REPOSITORY),
    f"GET {V}/gc/plan": Row(ADMINISTER),
    f"POST {V}/gc/plan": Row(ADMINISTER),
    f"GET {V}/gc/runs": Row(ADMINISTER),
    f"GET {V}/gc/runs/{{number}}": Row(ADMINISTER),
    f"POST {V}/workers/{{worker}}/drain": Row(ADMINISTER),
    f"POST {V}/workers/{{worker}}/remove": Row(ADMINISTER),
    f"GET {V}/attestation-keys": Row(READ, ALWAYS),
    f"POST {V}/attestation-keys": Row(ADMINISTER),
    f"POST {V}/apply": Row(ACCEPT, alternative=ADMINISTER),
    f"POST {V}/apply/documents": Row(ACCEPT, alternative=ADMINISTER),
    f"GET {V}/repositories": Row(READ, ALWAYS),  # of what the caller may see
    f"GET {V}/pipelines": Row(READ, ALWAYS),  # of what the caller may see
    f"GET {V}/pipelines/{{name}}": Row(READ, PIPELINE),
    f"GET {V}/pipelines/{{name}}/executions": Row(READ, PIPELINE),
    f"GET {V}/pipelines/{{name}}/fixes": Row(READ, PIPELINE),
    f"POST {V}/pipelines/{{name}}/executions": Row(RUN, PIPELINE),
    f"GET {V}/executions/{{execution_id}}": Row(READ, PIPELINE),
    f"GET {V}/executions/{{execution_id}}/log": Row(READ, PIPELINE),
    f"GET {V}/executions/{{execution_id}}/artifact": Row(READ, PIPELINE),
    f"POST {V}/executions/{{execution_id}}/stop": Row(RUN, PIPELINE),
    f"POST {V}/executions/{{execution_id}}/retry": Row(RUN, PIPELINE),
    f"GET {V}/approvals": Row(READ, ALWAYS),  # of what the caller may see
    f"POST {V}/approvals": Row(RUN, REPOSITORY),  # an external pipeline chooses its name itself
    f"GET {V}/approvals/{{approval_id:path}}": Row(READ, BOTH, refusal=404),
    f"GET {V}/approvals/{{approval_id:path}}/answer": Row(READ, BOTH, refusal=404),
    f"GET {V}/approvals/{{approval_id:path}}/votes": Row(READ, BOTH, refusal=404),
    f"POST {V}/approvals/{{approval_id:path}}/vote": Row(DECIDE, BOTH, refusal=404),
    f"POST {V}/approvals/{{approval_id:path}}/reject": Row(DECIDE, BOTH, refusal=404),
    f"POST {V}/approvals/{{approval_id:path}}/override": Row(ACCEPT, REPOSITORY, refusal=404),
    f"GET {V}/images": Row(READ, ALWAYS),
    f"GET {V}/digests/{{kind}}/{{start}}": Row(READ, ALWAYS),  # of what the token may see
    f"GET {V}/image-references": Row(READ, ALWAYS),  # of what the token may see
    f"GET {V}/images/{{digest}}": Row(READ, BOTH),
    f"POST {V}/images/{{digest}}/scan": Row(RUN, REPOSITORY),
    f"GET {V}/images/{{digest}}/findings": Row(READ, BOTH),
    f"POST {V}/images/{{digest}}/findings": Row(RUN, REPOSITORY),
    f"POST {V}/images/{{digest}}/vex": Row(RUN),
    f"GET {V}/images/{{digest}}/attestations": Row(READ, BOTH),
    f"GET {V}/verdicts/{{digest}}": Row(READ, BOTH),
    f"POST {V}/verdicts/{{digest}}/link": Row(DECIDE, BOTH),
    f"DELETE {V}/verdicts/{{digest}}/link": Row(DECIDE, BOTH),
    f"GET {V}/verdicts/{{digest}}/case": Row(READ, BOTH),
    f"GET {V}/verdicts/{{digest}}/explanation": Row(READ, BOTH),
    f"GET {V}/documents/{{digest}}": Row(READ),
    f"GET {V}/waivers": Row(READ, ALWAYS),
    f"POST {V}/waivers": Row(ACCEPT),
    f"GET {V}/waivers/{{waiver_id}}": Row(READ, ALWAYS),
    f"POST {V}/waivers/preview": Row(ACCEPT),
    f"POST {V}/waivers/{{waiver_id}}/revoke": Row(ACCEPT),
    f"GET {V}/vex": Row(READ),
    f"POST {V}/vex": Row(ACCEPT),
    f"POST {V}/vex/{{digest}}/remove": Row(ACCEPT),
    f"GET {V}/services": Row(READ, ALWAYS),  # of what the caller may see
    f"GET {V}/services/{{name}}": Row(READ, REPOSITORY, refusal=404),
    f"GET {V}/services/{{name}}/tasks/{{task}}/log": Row(READ, REPOSITORY, refusal=404),
    f"GET {V}/services/{{name}}/rollouts/{{number}}": Row(READ),
    f"POST {V}/services/{{name}}/scale": Row(ADMINISTER),
    f"POST {V}/services/{{name}}/restart": Row(ADMINISTER),
    f"GET {V}/principals": Row(ADMINISTER),
    f"POST {V}/principals": Row(ADMINISTER),
    f"POST {V}/principals/{{name}}/roles": Row(ADMINISTER),
    f"POST {V}/principals/{{name}}/disable": Row(ADMINISTER),
    f"POST {V}/principals/{{name}}/enable": Row(ADMINISTER),
    f"GET {V}/tokens": Row(ADMINISTER),
    f"POST {V}/tokens": Row(ADMINISTER),
    f"POST {V}/tokens/{{token_id}}/revoke": Row(ADMINISTER),
    f"GET {V}/audit": Row(ACCEPT),
    f"GET {V}/policies": Row(READ, ALWAYS),
    f"GET {V}/policy-assignments": Row(READ, ALWAYS),
    f"DELETE {V}/policy-assignments/{{name}}": Row(ACCEPT),
    f"POST {V}/policies/try": Row(READ),
    f"GET {V}/policies/schema": Row(READ),
    f"GET {V}/policies/{{name}}": Row(READ, ALWAYS),
    f"GET {V}/policies/{{name}}/history": Row(READ, ALWAYS),
    f"PUT {V}/policies/{{name}}": Row(ACCEPT),
    f"DELETE {V}/policies/{{name}}": Row(ACCEPT),
    f"GET {V}/registries/{{registry}}/hook/{{form}}": Row(ADMINISTER),
    f"GET {V}/events": Row(READ, ALWAYS),  # of what the token may see
    f"GET {V}/events/schemas": Row(READ, ALWAYS),
    f"GET {V}/exposure": Row(READ, ALWAYS),  # of what the token may see
    f"GET {V}/vulnerabilities/{{name}}": Row(READ, ALWAYS),  # public knowledge
    f"GET {V}/packages": Row(READ, ALWAYS),  # of what the token may see
    f"GET {V}/trends": Row(READ),
    f"GET {V}/tag-findings": Row(READ, ALWAYS),  # of a repository that it reaches, which the query names
    f"GET {V}/repository-findings": Row(READ, ALWAYS),  # as above
    f"GET {V}/rules": Row(READ),
    f"GET {V}/rules/{{name}}": Row(READ),
    f"POST {V}/rules/{{name}}/test": Row(READ),
    f"DELETE {V}/rules/{{name}}": Row(ADMINISTER),
    f"GET {V}/targets": Row(READ),
    f"GET {V}/targets/{{name}}": Row(READ),
    f"POST {V}/targets/{{name}}/test": Row(ADMINISTER),
    f"DELETE {V}/targets/{{name}}": Row(ADMINISTER),
    f"GET {V}/targets/{{name}}/waiting-messages": Row(READ),
    f"GET {V}/targets/{{name}}/delivered-messages": Row(READ),
    f"GET {V}/targets/{{name}}/dead-letters": Row(READ),
    f"POST {V}/targets/{{name}}/dead-letters/redeliver": Row(ADMINISTER),
    f"GET {V}/deliveries": Row(READ),
    f"POST {V}/deliveries/redeliver": Row(ADMINISTER),
    f"POST {V}/deliveries/dismiss": Row(ADMINISTER),
    f"POST {V}/registries/{{registry}}/hook/{{form}}": Row(ADMINISTER),
    "GET /git/{repository}.git/info/refs": Row(READ, REPOSITORY),
    "POST /git/{repository}.git/git-upload-pack": Row(READ, REPOSITORY),
    "POST /git/{repository}.git/git-receive-pack": Row(RUN, REPOSITORY),
}


# The pages of the console. A form needs what its call of the API needs.
PAGES = {
    "GET /static/{name}": OPEN,  # style and scripts: the same for everybody
    "GET /signin": OPEN,
    "POST /signin": OPEN,  # a token
    "GET /signin/provider": OPEN,
    "GET /signin/provider/return": OPEN,  # the provider's answer
    "GET /first-admin": OPEN,  # the link's secret
    "POST /first-admin": OPEN,
    "POST /first-admin/token": OPEN,  # the key of the form that made the first administrator
    "POST /signout": Row(READ, ALWAYS),
    "POST /theme": Row(READ, ALWAYS),
    "GET /": Row(READ, ALWAYS),  # of what the caller may see
    "GET /queue-count": Row(READ, ALWAYS),  # of what the caller may see
    "GET /live": Row(READ, ALWAYS),  # events that the token may see
    "GET /pipelines": Row(READ, ALWAYS),  # of what the caller may see
    "GET /pipelines/{name}": Row(READ, PIPELINE),
    "POST /pipelines/{name}/start": Row(RUN, PIPELINE),
    "GET /executions/{execution_id}": Row(READ, PIPELINE),
    "POST /executions/{execution_id}/stop": Row(RUN, PIPELINE),
    "POST /executions/{execution_id}/retry": Row(RUN, PIPELINE),
    "GET /executions/{execution_id}/{stage}/{action}/{attempt}": Row(READ, PIPELINE),
    "GET /executions/{execution_id}/{stage}/{action}/{attempt}/raw": Row(READ, PIPELINE),
    "GET /executions/{execution_id}/{stage}/{action}/{attempt}/artifact": Row(READ, PIPELINE),
    "GET /approvals/{approval_id:path}": Row(READ, BOTH, refusal=404),
    "POST /approvals/{approval_id:path}/vote": Row(DECIDE, BOTH, refusal=404),
    "POST /approvals/{approval_id:path}/reject": Row(DECIDE, BOTH, refusal=404),
    "POST /approvals/{approval_id:path}/override": Row(ACCEPT, REPOSITORY, refusal=404),
    "GET /verdicts/{digest}": Row(READ, BOTH),
    "GET /verdicts/{digest}/link": OPEN,  # the link's signature
    "GET /images": Row(READ, ALWAYS),
    "GET /images/{digest}": Row(READ, BOTH),
    "GET /images/r": Row(READ, ALWAYS),
    "GET /images/r/{name:path}": Row(READ, REPOSITORY),
    "GET /images/{digest}/sbom": Row(READ, BOTH),
    "GET /verdicts/{digest}/report": Row(READ, BOTH),
    "POST /images/{digest}/scan": Row(RUN, REPOSITORY),
    "GET /search": Row(READ, ALWAYS),  # of what the caller may see
    "GET /new/{kind}": Row(ACCEPT, alternative=ADMINISTER),
    "POST /new/{kind}": Row(ACCEPT, alternative=ADMINISTER),
    "POST /definitions/check": Row(READ),
    "GET /pipelines/{name}/definition": Row(READ, PIPELINE),
    "POST /pipelines/{name}/definition": Row(ADMINISTER),  # a pipeline may name any repository and service
    "GET /vulnerabilities": Row(READ, ALWAYS),  # of what the caller may see
    "GET /vulnerabilities/{name:path}": Row(READ, ALWAYS),  # of what the token may see
    "GET /packages/{question:path}": Row(READ, ALWAYS),  # of what the token may see
    "GET /exposure/report": Row(READ, ALWAYS),  # of what the token may see
    "GET /running": Row(READ, ALWAYS),  # of what the caller may see
    "GET /running/{name}": Row(READ, REPOSITORY, refusal=404),
    "GET /running/{name}/tasks/{task}": Row(READ, REPOSITORY, refusal=404),
    "POST /running/{name}": Row(ADMINISTER),
    "POST /running/{name}/restart": Row(ADMINISTER),
    "GET /repositories": Row(READ, ALWAYS),  # of what the caller may see
    "GET /repositories/{name}": Row(READ, REPOSITORY),
    "GET /repositories/{name}/files/{path:path}": Row(READ, REPOSITORY),
    "GET /repositories/{name}/raw/{path:path}": Row(READ, REPOSITORY),
    "GET /repositories/{name}/commits/{commit}": Row(READ, REPOSITORY),
    "GET /repositories/{name}/new": Row(RUN, REPOSITORY),
    "GET /repositories/{name}/edit/{path:path}": Row(RUN, REPOSITORY),
    "POST /repositories/{name}/edit": Row(RUN, REPOSITORY),
    "GET /policies": Row(READ, ALWAYS),
    "GET /policies/{name}": Row(READ, ALWAYS),
    "POST /policies/{name}": Row(ACCEPT),
    "POST /policies/{name}/remove": Row(ACCEPT),
    "POST /policy-assignments/{name}/remove": Row(ACCEPT),
    "GET /waivers": Row(READ, ALWAYS),
    "GET /waivers/new": Row(ACCEPT),
    "POST /waivers/new": Row(ACCEPT),
    "GET /waivers/{waiver_id}": Row(READ, ALWAYS),
    "POST /waivers/{waiver_id}/revoke": Row(ACCEPT),
    "GET /vex": Row(READ),
    "POST /vex": Row(ACCEPT),
    "POST /vex/{digest}/remove": Row(ACCEPT),
    "GET /advisories": Row(READ, ALWAYS),  # nothing of images
    "POST /advisories/update": Row(ACCEPT),
    "GET /events": Row(READ, ALWAYS),  # those that the token may see
    "GET /events/rules": Row(READ),
    "GET /events/rules/{name}": Row(READ),
    "POST /events/rules/{name}/test": Row(READ),
    "POST /events/rules/{name}/remove": Row(ADMINISTER),
    "GET /events/deliveries": Row(READ),
    "POST /events/deliveries/redeliver": Row(ADMINISTER),
    "POST /events/deliveries/dismiss": Row(ADMINISTER),
    "GET /events/targets": Row(READ),
    "GET /events/targets/{name}": Row(READ),
    "POST /events/targets/{name}/test": Row(ADMINISTER),
    "POST /events/targets/{name}/redeliver": Row(ADMINISTER),
    "POST /events/targets/{name}/remove": Row(ADMINISTER),
    "GET /workers": Row(READ),
    "POST /workers/{worker}/drain": Row(ADMINISTER),
    "POST /workers/{worker}/remove": Row(ADMINISTER),
    "GET /attestation-keys": Row(READ, ALWAYS),
    "POST /attestation-keys": Row(ADMINISTER),
    "GET /gc": Row(ADMINISTER),
    "POST /gc": Row(ADMINISTER),
    "POST /gc/plan": Row(ADMINISTER),
    "GET /people": Row(ADMINISTER),
    "POST /people": Row(ADMINISTER),
    "GET /people/{name}": Row(ADMINISTER),
    "POST /people/{name}/roles": Row(ADMINISTER),
    "POST /people/{name}/disable": Row(ADMINISTER),
    "POST /people/{name}/enable": Row(ADMINISTER),
    "POST /people/{name}/tokens": Row(ADMINISTER),
    "POST /people/{name}/tokens/{token_id}/revoke": Row(ADMINISTER),
    "GET /audit": Row(ACCEPT),
    "GET /settings": Row(READ, ALWAYS),
    "POST /settings/sessions/{digest}/end": Row(READ, ALWAYS),  # the caller's own
    "GET /styleguide": Row(READ, ALWAYS),
}


# What a call needs to come to the question who may.
BODIES = {
    f"POST {V}/apply": {"kind": "Policy"},
    f"POST {V}/apply/documents": [{"name": "policy.yaml", "text": "kind: Policy"}],
    f"POST {V}/approvals/{{approval_id:path}}/vote": {"is_yes": True},
    f"POST {V}/approvals/{{approval_id:path}}/override": {"reason": "why", "until": "2999-01-01"},
    f"POST {V}/approvals": {
        "pipeline": "mine",
        "stage": "s",
        "execution": "1",
        "image": "127.0.0.1:7421/mine/app:mine",
    },
    f"POST {V}/images/{{digest}}/scan": {"repository": "mine/app"},
    f"POST {V}/verdicts/{{digest}}/link": {},
    "POST /images/{digest}/scan": {"repository": "mine/app"},
    "POST /approvals/{approval_id:path}/vote": {"vote": "yes"},
    "POST /approvals/{approval_id:path}/override": {"reason": "why", "until": "2999-01-01"},
}
