// A page whose session is over, because its viewer logged out elsewhere or the API was started anew, asks to log in again.
(() => {
  const look = async () => {
    try {
      if ((await fetch("/api/session")).status === 401) location.reload();
    } catch { /* nobody answers now: the socket tries again */ }
  };
  window.addEventListener("load", () => {
    for (const happening of ["disconnect", "connect_error"]) window.socket?.on(happening, look);
  });
})();
