/* The mouse, fingers and the wheel on an element that is panned and zoomed. */

const DRAG_PX = 4;

/**
 * Hovering, clicks, drags, pinches and the wheel on an element, in its own pixels.
 * @param {HTMLElement} element
 * @param {object} react - `click(x, y)`, `drag(by_px)`; also `hover(x, y)`, `leave()`, `zoom(factor, x)`
 * @returns {() => void} ends it
 */
export function pointing(element, { hover, leave, click, drag, zoom }) {
  const down = new Map();
  let moved = 0;
  let pinched = false;
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const apart = () => {
    const [one, other] = [...down.values()];
    return Math.max(8, Math.hypot(one.x - other.x, one.y - other.y));
  };
  const listeners = {
    pointerdown: (event) => {
      if (event.button !== 0) return;
      down.set(event.pointerId, place(event));
      if (down.size === 1) [moved, pinched] = [0, false];
    },
    pointermove: (event) => {
      const now = place(event);
      const before = down.get(event.pointerId);
      if (!before) return void (event.pointerType === "touch" || hover?.(now.x, now.y));
      if (down.size === 2 && zoom) {
        const distance = apart();
        down.set(event.pointerId, now);
        const [one, other] = [...down.values()];
        zoom(apart() / distance, (one.x + other.x) / 2);
        pinched = true;
        return undefined;
      }
      moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
      if (moved > DRAG_PX) {
        if (!element.hasPointerCapture(event.pointerId)) element.setPointerCapture(event.pointerId);
        leave?.();
        drag(now.x - before.x);
        down.set(event.pointerId, now);
      }
      return undefined;
    },
    pointerup: (event) => {
      const here = down.delete(event.pointerId);
      if (here && moved <= DRAG_PX && !pinched) click(place(event).x, place(event).y);
    },
    pointercancel: (event) => down.delete(event.pointerId),
    pointerleave: (event) => {
      if (!element.hasPointerCapture(event.pointerId)) down.delete(event.pointerId);
      leave?.();
    },
    wheel: (event) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (zoom && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        zoom(Math.exp(-event.deltaY / 240), place(event).x);
      } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        event.preventDefault();
        drag(zoom ? -sideways : sideways);
      }
    },
  };
  for (const [name, react] of Object.entries(listeners)) {
    element.addEventListener(name, react, { passive: false });
  }
  return () => {
    for (const [name, react] of Object.entries(listeners)) element.removeEventListener(name, react);
  };
}
