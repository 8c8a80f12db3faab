-- Tail of what a person asks: everything that is paused, as claims read it.
SELECT queues, classes, labels FROM paused;
