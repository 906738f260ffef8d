// Before anything is drawn: the viewer's colours, or those of the system, and a button that changes them.
(() => {
  const KEY = "twinstream-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const present = () => chosen() ?? (system.matches ? "dark" : "light");
  const apply = () => {
    const theme = present();
    document.documentElement.dataset.theme = theme;
    document.getElementById("nicegui-color-scheme")?.setAttribute("content", theme);
    if (window.Quasar) window.Quasar.Dark.set(theme === "dark");
  };
  window.applyTheme = apply;
  apply();
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  document.documentElement.lang = "en";
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#theme")) return;
    try { localStorage.setItem(KEY, present() === "dark" ? "light" : "dark"); } catch { return; }
    apply();
  });
})();
