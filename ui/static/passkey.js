// A form with data-passkey asks the browser for a passkey (create), or for a proof
// that one is there (get), and sends what comes with itself.
"use strict";
for (const form of document.querySelectorAll("form[data-passkey]")) {
  const says = form.querySelector("[role=status]"), answer = form.elements.credential, button = form.querySelector("button");
  const able = window.PublicKeyCredential && PublicKeyCredential.parseCreationOptionsFromJSON && PublicKeyCredential.parseRequestOptionsFromJSON;
  if (!able) says.textContent = form.dataset.unable;
  button.disabled = !able;

  const ask = async () => {
    const response = await fetch(form.dataset.challenge, { method: "POST" });
    if (!response.ok) throw new Error(response.status);
    const { publicKey } = await response.json();
    return form.dataset.passkey === "create"
      ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) })
      : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
  };

  form.addEventListener("submit", async event => {
    event.preventDefault();
    button.disabled = true;
    says.textContent = "";
    try {
      answer.value = JSON.stringify(await ask());
      form.submit();
    } catch (error) {
      // Whoever closes the browser's window wants nothing more than to try again.
      says.textContent = error.name === "InvalidStateError" ? form.dataset.again : form.dataset.failed;
      button.disabled = false;
    }
  });
}
