"""The texts of the console's empty lists: what would be there, and the next step."""

import re
from dataclasses import dataclass, replace

from dockgate.identity.model import Caller, Permission
from dockgate.services.exposure.advisory_matching import AdvisoryMatching
from dockgate.shared.certainty import Certainty

# In sentences about a list of which some callers see a part: where they read "that you may see".
SCOPE = "{scope}"
# Follows a sentence without it.
LIMITED_NOTE = "Only what your role or token covers is listed."
# What a person replaces in a command: a name in capitals, or a document of their own.
_PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|\.yaml\b")


@dataclass(frozen=True, slots=True)
class EmptyState:
    """A list without entries. `sentence` says what would be there.

    `step` is the next one for callers with the `permission`, with a `command` for a terminal; `step_of_others` is what
    those without it read instead. `no_match_sentence` is what a filter that leaves nothing shows, None for a list
    without filters. `has_hidden_entries`: a caller with limits sees a part of the list. `unknown_sentence` and
    `partial_sentence` replace both where entries depend on advisories, and not all packages were matched with them;
    `partial_no_match_sentence` is that of a filter, if it differs. Sentences may have a SCOPE.
    """

    title: str
    sentence: str
    step: str | None = None
    command: str | None = None
    permission: Permission = Permission.READ
    step_of_others: str | None = None
    no_match_sentence: str | None = None
    has_hidden_entries: bool = False
    unknown_sentence: str | None = None
    partial_sentence: str | None = None
    partial_no_match_sentence: str | None = None

    @property
    def is_example(self) -> bool:
        """Return whether the command fails as it is: it has a placeholder."""
        return self.command is not None and _PLACEHOLDER.search(self.command) is not None

    def is_open_to(self, caller: Caller) -> bool:
        """Return whether the caller may take the next step."""
        return self.permission is Permission.READ or (caller.can(self.permission) and not caller.is_limited)

    def limit_to(self, matching: AdvisoryMatching | None) -> "EmptyState":
        """Return the state with the sentence that fits how far packages were matched with advisories."""
        if matching is None or matching.certainty == Certainty.COMPLETE:
            return self
        begin = no_match_begin = self.unknown_sentence
        if matching.certainty == Certainty.PARTIAL:
            begin = self.partial_sentence
            no_match_begin = self.partial_no_match_sentence or begin
        return replace(
            self,
            sentence=f"{begin} {matching.reason}",
            no_match_sentence=f"{no_match_begin} {matching.reason}",
            step=None,
            command=None,
        )

    def describe_for(self, caller: Caller | None) -> "EmptyState":
        """Return what the caller reads: a limited one, that the list is only a part."""
        is_part = self.has_hidden_entries and caller is not None and caller.is_limited
        scope = " that you may see" if is_part else ""
        state = replace(
            self,
            sentence=self.sentence.replace(SCOPE, scope),
            no_match_sentence=self.no_match_sentence and self.no_match_sentence.replace(SCOPE, scope),
        )
        if not is_part:
            return state
        note = "" if SCOPE in self.sentence else f" {LIMITED_NOTE}"
        step = self.step if self.permission is Permission.READ else None
        return replace(state, sentence=state.sentence + note, step=step, command=None, step_of_others=None)


# By the name that templates use.
EMPTY_STATES: dict[str, EmptyState] = {
    "queue": EmptyState("Things that need you", "Nothing needs you."),
    "under-way": EmptyState(
        "Executions under way",
        "No execution{scope} is under way.",
        "A push to a pipeline's branch starts one.",
        has_hidden_entries=True,
    ),
    "first-steps": EmptyState(
        "Overview of a new server",
        "No pipeline has run yet.",
        "Create a repository, a service and a pipeline, then push a commit. At a terminal:",
        "dockgate apply repository.yaml service.yaml pipeline.yaml",
        Permission.ADMINISTER,
        "An administrator creates a repository, a service and a pipeline first.",
    ),
    "pipelines": EmptyState(
        "Pipelines",
        "A pipeline takes a commit to a running service.",
        "Press “New pipeline” to create the first one, or at a terminal:",
        "dockgate apply pipeline.yaml",
        Permission.ADMINISTER,
        "An administrator creates the first one.",
        no_match_sentence="No pipeline{scope} matches.",
        has_hidden_entries=True,
    ),
    "executions": EmptyState(
        "Executions of a pipeline",
        "No execution yet.",
        "A push to the branch of its source action starts one. So does “Start”, for developers.",
        no_match_sentence="No execution has this state.",
    ),
    "images": EmptyState(
        "Images",
        "Images appear here when a pipeline builds them, or when one is pushed to the registry.",
        "To push one, copy the address of the registry from “Settings”.",
        no_match_sentence="No image{scope} matches.",
        has_hidden_entries=True,
        unknown_sentence="It is unknown whether an image{scope} matches.",
        partial_sentence="No image{scope} is known to match, but some may.",
    ),
    "verdicts": EmptyState(
        "Verdicts on an image",
        "No verdict{scope} was requested yet.",
        "A pipeline requests one when it reaches its approval.",
        has_hidden_entries=True,
    ),
    "packages": EmptyState(
        "Packages of an image",
        "No package of this image is known.",
        "A scan lists them when it ends with success.",
        no_match_sentence="No package matches.",
    ),
    "findings": EmptyState(
        "Findings of a verdict",
        "No findings in what could be judged.",
        "New advisories are matched with this image while it is watched.",
        no_match_sentence="No finding matches.",
    ),
    "vulnerabilities": EmptyState(
        "Vulnerabilities",
        "No package of a scanned image{scope} has a known vulnerability.",
        "Images are scanned when they are pushed. “Advisories” shows whether the feeds are up to date.",
        no_match_sentence="No vulnerability{scope} matches.",
        has_hidden_entries=True,
        unknown_sentence="It is unknown which vulnerabilities are in the images{scope}.",
        partial_sentence="No vulnerability is known in the images{scope}, but there may be some.",
        partial_no_match_sentence="No vulnerability{scope} is known to match, but some may.",
    ),
    "versions": EmptyState(
        "Versions of a package",
        "No image is known to contain such a package.",
        "Names are those of installed or source packages: openssl, log4j-core@2.14.1, pkg:pypi/requests.",
    ),
    "services": EmptyState(
        "Services",
        "A service runs approved images.",
        "Press “New service” to create the first one, or at a terminal:",
        "dockgate apply service.yaml",
        Permission.ADMINISTER,
        "An administrator creates the first one.",
        no_match_sentence="No service{scope} matches.",
        has_hidden_entries=True,
    ),
    "tasks": EmptyState(
        "Tasks of a service",
        "No task exists.",
        "The first approved deploy starts as many as the desired count says.",
    ),
    "changes": EmptyState(
        "Changes of a service",
        "Its desired count was never changed.",
        "Change it below.",
        permission=Permission.ADMINISTER,
        step_of_others="Administrators change it.",
    ),
    "repositories": EmptyState(
        "Repositories",
        "A git repository on this server: a push to it starts pipelines.",
        "Press “New repository” to create the first one, or at a terminal:",
        "dockgate apply repository.yaml",
        Permission.ADMINISTER,
        "An administrator creates the first one.",
        no_match_sentence="No repository{scope} matches.",
        has_hidden_entries=True,
    ),
    "policies": EmptyState(
        "Policies",
        "A policy says which findings block an image.",
        no_match_sentence="No policy{scope} matches.",
        has_hidden_entries=True,
    ),
    "commits": EmptyState("Files and commits", "Nothing has been pushed yet.", "Push the first commit:"),
    "waivers": EmptyState(
        "Waivers",
        "A waiver accepts a finding for a time, with an owner and a reason.",
        "Press “New waiver”, or “Waive” beside a finding of a verdict. At a terminal:",
        "dockgate waiver add --help",
        Permission.ACCEPT,
        "People with the role security or admin add them.",
        no_match_sentence="No waiver{scope} matches.",
        has_hidden_entries=True,
    ),
    "vex": EmptyState(
        "VEX documents",
        "A VEX document says which vulnerabilities do not affect an image, and why.",
        "Upload the first one below.",
        permission=Permission.ACCEPT,
        step_of_others="People with the role security or admin upload them.",
        no_match_sentence="No document matches.",
    ),
    "feeds": EmptyState(
        "Feeds",
        "Advisories come from feeds, and this server has none.",
        "Build the database from a folder with their files:",
        "dockgate db build --from FOLDER",
        Permission.ACCEPT,
        "People with the role security or admin set them up.",
    ),
    "events": EmptyState(
        "Events",
        "Everything that happens is listed here. Nothing has happened yet.",
        "A pushed commit or image is the first event.",
        no_match_sentence="No event{scope} matches.",
        has_hidden_entries=True,
    ),
    "event-rules": EmptyState(
        "Event rules",
        "An event rule sends events that match a pattern to targets.",
        "Add one at a terminal:",
        "dockgate apply rule.yaml",
        Permission.ADMINISTER,
        "An administrator adds them.",
        no_match_sentence="No event rule matches.",
    ),
    "targets": EmptyState(
        "Targets",
        "A target receives events: a webhook, e-mail, chat, a pipeline, or a queue in AWS.",
        "Add one at a terminal:",
        "dockgate apply target.yaml",
        Permission.ADMINISTER,
        "An administrator adds them.",
        no_match_sentence="No target matches.",
    ),
    "dead-letters": EmptyState(
        "Dead letters of a target",
        "Every message was accepted, or still waits.",
        "Dead letters are listed here, to be sent again.",
    ),
    "deliveries": EmptyState(
        "Failed deliveries",
        "No delivery fails: every message was accepted, or waits for its first attempt.",
        no_match_sentence="No failed delivery matches.",
    ),
    "people": EmptyState(
        "People",
        "There are no people yet: anyone on this machine may do everything.",
        "Add the first person below, as an admin.",
        no_match_sentence="No one matches.",
    ),
    "tokens": EmptyState("Tokens of a person", "There is no token.", "Make one below; it is shown once."),
    "audit": EmptyState(
        "Audit",
        "Every call that changes something is listed here. There was none.",
        no_match_sentence="No entry matches.",
    ),
    "workers": EmptyState(
        "Workers",
        "A worker builds, scans and deploys.",
        "A server is one. More take work from its database:",
        "dockgate worker",
        Permission.ADMINISTER,
        "An administrator starts them.",
        no_match_sentence="No worker matches.",
    ),
    "collections": EmptyState(
        "Collections",
        "No collection was requested.",
        "A plan says what the first one would remove.",
        permission=Permission.ADMINISTER,
    ),
    "search": EmptyState(
        "Search",
        "Search finds vulnerabilities, packages, images, commits, executions, pipelines, services, policies, waivers.",
        "Give the beginning of the name of a vulnerability or package, at least six characters of a digest or seven of "
        "a commit, words of a commit's message, or a part of another name.",
        no_match_sentence="Nothing{scope} is known by this name.",
        has_hidden_entries=True,
    ),
    "log": EmptyState(
        "Log of an action",
        "Nothing is written yet.",
        "Lines appear here while the action runs.",
        no_match_sentence="No line contains these words.",
    ),
}


def get_empty_state(name: str, caller: Caller | None, matching: AdvisoryMatching | None = None) -> EmptyState:
    """The empty state of a list, as a caller reads it. KeyError for an unknown name.

    `matching` is for a list whose entries depend on advisories.
    """
    return EMPTY_STATES[name].limit_to(matching).describe_for(caller)
