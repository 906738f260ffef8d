"""A question before what can't be undone."""

from nicegui import ui

from infra.console.elements import text


async def confirmed(question: str, yes: str) -> bool:
    """Ask; True when the viewer says yes, False when the question is closed any other way.

    Args:
        question: What will happen.
        yes: What the button that agrees says.
    """
    with ui.dialog().props('aria-label="Confirm"') as dialog, ui.element("div").classes("ts-card ts-dialog"):
        text(question, "p", "ts-question")
        with ui.element("div").classes("ts-form"):
            for label, answer, classes in ((yes, True, "ts-button ts-danger"), ("Cancel", False, "ts-button")):
                button = ui.element("button").classes(classes)
                button.props.update({"type": "button", "innerText": label})
                button.on("click", lambda _, answer=answer: dialog.submit(answer))
    return bool(await closed(dialog))


async def closed(dialog: ui.dialog) -> object:
    """Show a dialogue until it is closed, and what it was closed with; None also when its page was left."""
    answer = await dialog
    if not dialog.is_deleted:  # it goes with the page
        dialog.delete()
    return answer
