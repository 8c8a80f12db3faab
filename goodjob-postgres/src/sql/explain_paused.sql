-- Tail of the question what is paused, with the labels.
SELECT queues, classes, labels FROM paused;
