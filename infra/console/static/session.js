// A page whose session is over, because its viewer logged out elsewhere or the API was started anew, asks to log in again.
(() => {
  let leaving = false;
  const look = async () => {
    try {
      if ((await fetch("/api/session")).status === 401 && !leaving) location.reload();
    } catch { /* nobody answers now: the socket tries again */ }
  };
  window.addEventListener("load", () => {
    for (const happening of ["disconnect", "connect_error"]) window.socket?.on(happening, look);
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("#logout");
    if (!button) return;
    leaving = true;
    try {
      const { ok, status } = await fetch("/api/session", { method: "DELETE" });
      if (!ok && status !== 401) throw new Error(String(status));
      location.assign("/login");
    } catch {
      leaving = false;
      button.textContent = "Not logged out: try again";
    }
  });
})();
