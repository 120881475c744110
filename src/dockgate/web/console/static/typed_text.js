// What was typed outlives the end of a session: this tab keeps it until the first page after signing in, which fills its
// forms again for the same person and sends nothing. Every other page drops it.
const person = document.querySelector("header.top .name")?.textContent;
let sentForm;
document.addEventListener("submit", (event) => { sentForm = event.target; });
const listFields = (form) => [...form.elements].filter((field) => field.name && field.matches("textarea, select, input:not([type=password], [type=file])"));
const isTyped = (field) => field.options ? !field.selectedOptions[0]?.defaultSelected && field.selectedIndex > 0 : field.value !== field.defaultValue || field.checked !== field.defaultChecked;

window.addEventListener("pagehide", () => {
  if (!person || sentForm?.getAttribute("action") === "/signout") return;
  const forms = [...document.querySelectorAll("form[method=post]")].filter((form) => form === sentForm || listFields(form).some(isTyped));
  const typedForms = forms.map((form) => [form.getAttribute("action"), listFields(form).map((field) => [field.name, field.value, field.checked])]);
  try { sessionStorage.setItem("typed", JSON.stringify({ person, typed: typedForms })); } catch { /* too much to keep */ }
});

document.addEventListener("DOMContentLoaded", () => {
  const savedText = JSON.parse(sessionStorage.getItem("typed"));
  if (!savedText) return;
  if (!person) { sessionStorage.setItem("typed", JSON.stringify({ ...savedText, hasEnded: true })); return; }
  sessionStorage.removeItem("typed");
  if (savedText.hasEnded && savedText.person === person) for (const [action, values] of savedText.typed) fillForm(action, values);
});

function fillForm(action, values) {
  const names = String(values.map(([name]) => name));
  const form = [...document.querySelectorAll("form[method=post]")].find((candidate) => candidate.getAttribute("action") === action && String(listFields(candidate).map((field) => field.name)) === names);
  if (!form || !names) return;
  for (const [index, field] of listFields(form).entries()) {
    [, field.value, field.checked] = values[index];
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  const details = form.closest("details");
  if (details) details.open = true;
  const note = document.createElement("p");
  note.className = "note";
  note.setAttribute("role", "status");
  note.textContent = "Your session had ended. What you typed is filled in again, and was not sent.";
  form.before(note);
}
